//go:build unix

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A busyHome is a home in which many commands run at once.
type busyHome struct {
	victim
	url         string // of the server that has the tool
	collections atomic.Int64
	done        map[string]*atomic.Int64
}

// newBusyHome returns a home. listen: the node is reached by loopback.
func newBusyHome(t *testing.T, url string) *busyHome {
	t.Helper()
	home := shortDir(t)
	t.Cleanup(func() { stop(t, home) })
	config := "{listen: [/ip4/127.0.0.1/tcp/0, /ip4/127.0.0.1/udp/0/quic-v1], mdns: false, relay: false}"
	if err := os.WriteFile(filepath.Join(home, "config.nuon"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return &busyHome{victim: victim{t: t, home: home, dir: t.TempDir()}, url: url, done: map[string]*atomic.Int64{}}
}

// write writes the file of a package whose program is the tool, and that has a file text.
func (c *busyHome) write(name, text string) error {
	file := fmt.Sprintf(`export def main [] {
  derivation {
    name: %[1]s, version: "1"
    src: (fetch url %[2]s/tool.wasm --unpack file --hash sha256-%[3]x)
    build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/%[1]s"; %[4]q | save $"($b.out)/text" }
  }
}
`, name, c.url, sha256.Sum256(toolWasm), text)
	return os.WriteFile(filepath.Join(c.dir, name+".nu"), []byte(file), 0o644)
}

// try runs nuka, and returns its standard output.
func (c *busyHome) try(args ...string) (string, error) {
	cmd, _ := c.command(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("nuka %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// repeat does fn until ctx ends.
func (c *busyHome) repeat(ctx context.Context, wait *sync.WaitGroup, name string, fn func(i int) error) {
	n := new(atomic.Int64)
	c.done[name] = n
	wait.Go(func() {
		for i := 0; ctx.Err() == nil && !c.t.Failed(); i++ {
			if err := fn(i); err != nil {
				c.t.Errorf("%s, round %d: %v", name, i, err)
				return
			}
			n.Add(1)
		}
	})
}

func (c *busyHome) collect(i int) error {
	args := []string{"gc"}
	if i%3 == 0 {
		args = append(args, "--generations", "1")
	}
	_, err := c.try(args...)
	c.collections.Add(1)
	time.Sleep(50 * time.Millisecond)
	return err
}

// install installs a package, runs its program from the profile, and removes it every second time.
func (c *busyHome) install(name string) func(int) error {
	return func(i int) error {
		if err := c.write(name, fmt.Sprint(name, i)); err != nil {
			return err
		}
		if _, err := c.try("install", "./"+name+".nu"); err != nil {
			return err
		}
		program := exec.Command(filepath.Join(c.home, "profiles", "default", "current", "bin", name), "echo", "hello")
		program.Env = append(os.Environ(), "NUKA_HOME="+c.home)
		if got, err := program.CombinedOutput(); err != nil || string(got) != "hello\n" {
			return fmt.Errorf("the installed program: %w, %s", err, got)
		}
		if i%2 == 0 {
			return nil
		}
		_, err := c.try("remove", name)
		return err
	}
}

// run starts a program of a package that nothing else keeps, waits for a whole collection, and lets the program read a file of its package.
func (c *busyHome) run(name string) func(int) error {
	return func(i int) error {
		text, dir := fmt.Sprint(name, i), filepath.Join(c.dir, name)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := c.write(name, text); err != nil {
			return err
		}
		pid, err := c.try("eval", "./"+name+".nu")
		if err != nil {
			return err
		}
		cmd, out := c.command("run", "../"+name+".nu", "--", "later", "cat", "/nuka/store/"+strings.TrimSpace(pid)+"/text")
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for {
			if _, err := os.Stat(filepath.Join(dir, "ready")); err == nil {
				break
			}
			select {
			case err := <-ended:
				return fmt.Errorf("the program ended early: %w\n%s", err, out)
			case <-time.After(5 * time.Millisecond):
			}
		}
		for before := c.collections.Load(); c.collections.Load() < before+2; { // one that began after the start has ended
			time.Sleep(5 * time.Millisecond)
		}
		if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
			return err
		}
		if err := <-ended; err != nil || !strings.HasSuffix(strings.TrimSpace(out.String()), text) {
			return fmt.Errorf("the program that ran during a collection: %w\n%s", err, out)
		}
		return nil
	}
}

// TestCollectCrowd collects in two homes without a pause, while packages are installed and removed, programs run that nothing else keeps, and one
// home receives packages from the other. Nothing that is in use is lost, and both stores are whole. Five minutes with NUKA_LONG=1.
func TestCollectCrowd(t *testing.T) {
	length := 15 * time.Second
	if os.Getenv("NUKA_LONG") != "" {
		length = 5 * time.Minute
	}
	server := serve(t, t.TempDir())
	a, b := newBusyHome(t, server.URL), newBusyHome(t, server.URL)
	key := strings.Fields(a.works("key", "show"))
	b.works("trust", "add", key[1], "--yes")

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var busy, collecting sync.WaitGroup
	collections, end := context.WithCancel(context.Background())
	defer end()
	for _, c := range []*busyHome{a, b} {
		c.repeat(collections, &collecting, "collections", c.collect)
	}
	a.repeat(ctx, &busy, "installs", a.install("one"))
	a.repeat(ctx, &busy, "runs", a.run("two"))
	b.repeat(ctx, &busy, "runs", b.run("three"))
	b.repeat(ctx, &busy, "receives", func(i int) error {
		if err := a.write("shared", fmt.Sprint("shared", i)); err != nil {
			return err
		}
		ticket, err := a.try("share", "./shared.nu")
		if err != nil {
			return err
		}
		_, err = b.try("get", strings.TrimSpace(ticket))
		return err
	})
	busy.Wait()
	end()
	collecting.Wait()
	for name, c := range map[string]*busyHome{"a": a, "b": b} {
		if got := c.works("store", "verify"); !strings.Contains(got, " 0 problems") {
			t.Errorf("%s: %s", name, got)
		}
		for what, n := range c.done {
			t.Logf("%s: %d %s", name, n.Load(), what)
			if n.Load() == 0 {
				t.Errorf("%s: no %s", name, what)
			}
		}
	}
}
