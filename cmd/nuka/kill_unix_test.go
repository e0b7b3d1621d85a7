//go:build unix

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A victim is a home with programs that a test kills.
type victim struct {
	t    *testing.T
	home string
	dir  string
}

func (v *victim) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	c := exec.Command(filepath.Join(programs, "nuka"), args...)
	c.Dir = v.dir
	c.Env = append(os.Environ(), "NUKA_HOME="+v.home, "TERM=dumb", "PATH="+programs+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	return c, &out
}

// works runs nuka and returns what it writes.
func (v *victim) works(args ...string) string {
	v.t.Helper()
	c, out := v.command(args...)
	if err := c.Run(); err != nil {
		v.t.Fatalf("nuka %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out.String()
}

// killDaemon kills the daemon and says whether there was one.
func (v *victim) killDaemon() bool {
	b, err := os.ReadFile(filepath.Join(v.home, "store", "lock"))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return err == nil && pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil
}

// TestKillInstalls kills the daemon, and every second time the command too, at a random moment of installs, removals, rollbacks and
// collections. Afterwards the store finds no fault in itself, and each installed program runs.
func TestKillInstalls(t *testing.T) {
	kills := 200
	if n, err := strconv.Atoi(os.Getenv("NUKA_KILLS")); err == nil {
		kills = n
	} else if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1 for 200 kills, or NUKA_KILLS to their number: each takes some seconds")
	}
	home := shortDir(t)
	v := &victim{t: t, home: home, dir: t.TempDir()}
	t.Cleanup(func() { stop(t, home) })
	// Without the mount, which has tests of its own.
	if err := os.WriteFile(filepath.Join(home, "config.nuon"), []byte("{mount: off}"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := serve(t, t.TempDir())
	names := []string{"one", "two", "three"}
	write := func(name string, version int) {
		text := fmt.Sprintf(`export def main [] {
  derivation {
    name: %s, version: "%d"
    src: (fetch url %s/tool.wasm --unpack file --hash sha256-%x)
    build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/%s"; "%d" | save $"($b.out)/version-of-%s" }
  }
}
`, name, version, server.URL, sha256.Sum256(toolWasm), name, version, name)
		if err := os.WriteFile(filepath.Join(v.dir, name+".nu"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(3, 1))
	for i, name := range names {
		write(name, i)
		v.works("install", "./"+name+".nu")
	}
	failed, killed := map[string]int{}, 0
	for kill := range kills {
		name := names[r.IntN(len(names))]
		write(name, 100+kill)
		args := [][]string{
			{"install", "./" + name + ".nu"}, {"install", "./" + name + ".nu"}, {"remove", name}, {"rollback"}, {"gc"}, {"gc", "--generations", "2"},
		}[r.IntN(6)]
		c, out := v.command(args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(900)) * time.Millisecond)
		if v.killDaemon() {
			killed++
		}
		if kill%2 == 0 {
			c.Process.Kill() //nolint:errcheck // it may have ended
		}
		if err := c.Wait(); err != nil {
			failed[args[0]]++
		}
		if got := v.works("store", "verify"); !strings.Contains(got, " 0 problems") {
			t.Fatalf("kill %d, of %v (%s): %s", kill, args, out, got)
		}
		bin := filepath.Join(home, "profiles", "default", "current", "bin")
		list, err := os.ReadDir(bin)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range list {
			run := exec.Command(filepath.Join(bin, e.Name()), "echo", "hello")
			run.Env = append(os.Environ(), "NUKA_HOME="+home)
			if got, err := run.CombinedOutput(); err != nil || string(got) != "hello\n" {
				t.Fatalf("kill %d, of %v: %s: %v, %s", kill, args, e.Name(), err, got)
			}
		}
		v.works("install", "./"+name+".nu") // the next change succeeds
	}
	t.Logf("%d kills, %d of a running daemon; interrupted: %v", kills, killed, failed)
	if killed < kills/2 {
		t.Errorf("only %d daemons were killed", killed)
	}
}
