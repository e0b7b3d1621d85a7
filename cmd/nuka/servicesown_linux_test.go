package main

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A crowd is what clients saw of a server that they asked without a pause.
type crowd struct {
	asked, lost int
	worst       time.Duration // the slowest answer
	answers     map[string]int
}

// askWhile has four clients ask a server while a function runs, and at least some times in all.
func askWhile(t *testing.T, url string, least int, during func()) *crowd {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c := &crowd{answers: map[string]int{}}
	over := make(chan struct{})
	var mu sync.Mutex
	var wg sync.WaitGroup
	more := func() bool {
		mu.Lock()
		defer mu.Unlock()
		c.asked++
		select {
		case <-over:
			return c.asked <= least
		default:
			return true
		}
	}
	for range 4 {
		wg.Go(func() {
			for more() {
				begin := time.Now()
				got, err := get(client, url)
				took := time.Since(begin)
				mu.Lock()
				c.worst = max(c.worst, took)
				c.answers[got]++
				if err != nil {
					c.lost++
					t.Logf("after %s: %v", took, err)
				}
				mu.Unlock()
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	during()
	close(over)
	wg.Wait()
	t.Logf("%d requests, %d lost, the slowest took %s, answers %v", c.asked, c.lost, c.worst.Round(time.Millisecond), c.answers)
	return c
}

// TestServiceSocketsApplied changes a server by nuka services apply while clients ask it: its socket stays, and no request is lost. What is stopped, or does not listen
// there any more, refuses connections.
func TestServiceSocketsApplied(t *testing.T) {
	h := newServicesHome(t)
	address, second := freeAddress(t), freeAddress(t)
	web := func(at, fields string) string {
		return `web: {run: [$t tool serve http "300"], listen: {http: "` + at + `"}, ready: {http: "/"}` + fields + `}`
	}
	one := h.set("one.nu", web(address, ""))
	two := h.set("two.nu", web(address, `, env: {GREETING: "good bye"}`))
	moved := h.set("moved.nu", web(second, ""))
	h.supervise()
	h.must(h.services("apply", one, "--as", "nuka")...)
	c := askWhile(t, "http://"+address+"/", 500, func() {
		h.must(h.services("apply", two)...)
		h.must(h.services("rollback", "1")...)
		h.must(h.services("restart", "web")...)
	})
	if c.lost > 0 || c.answers["hello"] == 0 || c.answers["good bye"] == 0 || len(c.answers) != 2 {
		t.Errorf("%d requests were lost; answers %v", c.lost, c.answers)
	}
	h.must(h.services("apply", moved)...)
	client := &http.Client{}
	if got, err := get(client, "http://"+second+"/"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	refuses(t, address)
	h.must(h.services("stop", "web")...)
	refuses(t, second)
	h.must(h.services("start", "web")...)
	if got, err := get(client, "http://"+second+"/"); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// refuses fails the test unless nobody listens at an address.
func refuses(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to %s: got %v, want a refusal", address, err)
	}
}

// TestFailedUpgrade applies a version that never gets ready: the one before serves again a second after the deadline at the latest, and clients only wait.
func TestFailedUpgrade(t *testing.T) {
	h := newServicesHome(t)
	address := freeAddress(t)
	const deadline = 2 * time.Second
	web := func(run, within string) string {
		return `web: {run: [$t tool ` + run + `], listen: {http: "` + address + `"}, ready: {http: "/", within: ` + within + `}}`
	}
	good, bad := h.set("good.nu", web(`serve http "0"`, "1min")), h.set("bad.nu", web("sleep", "2sec"))
	h.supervise()
	h.must(h.services("apply", good, "--as", "nuka")...)
	best := time.Hour
	for range 3 { // other tests run beside this one
		c := askWhile(t, "http://"+address+"/", 1, func() {
			begin := time.Now()
			out, err := h.command(h.services("apply", bad)...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(string(out), "and generation 1 is in use again") {
				t.Fatalf("got %v\n%s", err, out)
			}
			t.Logf("the whole command took %s", time.Since(begin).Round(time.Millisecond))
		})
		if c.lost > 0 || c.answers["hello"] == 0 {
			t.Errorf("%d requests were lost", c.lost)
		}
		if best = min(best, c.worst); best <= deadline+time.Second {
			break
		}
	}
	if best > deadline+time.Second {
		t.Errorf("the old version served again after %s; want %s at most", best, deadline+time.Second)
	}
	if out := h.must(h.services("history")...); !strings.Contains(out, "failed: web was not ready in 2s") {
		t.Errorf("got %s", out)
	}
}

// TestServiceNeedsApplied has a service fail for good that another one needs: that one is stopped, although each has a launcher of its own, and starts again with it.
func TestServiceNeedsApplied(t *testing.T) {
	h := newServicesHome(t)
	address := freeAddress(t)
	one := h.set("one.nu", `db: {run: [$t tool serve http "0"], listen: {http: "`+address+`"}, restart: {when: "no"}}
web: {run: [$t tool sleep], needs: [db], ready: {within: 100ms}}
free: {run: [$t tool sleep], after: [db], ready: {within: 100ms}}`)
	broken := h.set("broken.nu", `db: {run: [$t tool fail "3"], listen: {http: "`+address+`"}, restart: {when: "no"}, ready: {within: 1sec}}
web: {run: [$t tool sleep], needs: [db], ready: {within: 100ms}}
free: {run: [$t tool sleep], after: [db], ready: {within: 100ms}}`)
	h.supervise()
	h.must(h.services("apply", one, "--as", "nuka")...)
	before := h.status()
	_, _ = get(&http.Client{}, "http://"+address+"/exit")
	until(t, "web is stopped, because db has failed", func() bool { return h.programs("db") == 0 && h.programs("web") == 0 })
	until(t, "status says so", func() bool {
		out := h.must(h.services("status")...)
		return strings.Contains(out, "waiting: for db") && strings.Contains(out, "failed: it exited with 3")
	})
	if h.programs("free") != 1 {
		t.Error("free was stopped, which needs nothing")
	}
	h.must(h.services("restart", "db")...)
	h.whole(3)
	if free := h.status()[len(before)-1]; free.Name == "free" && free.Program != before[len(before)-1].Program {
		t.Error("free was restarted")
	}
	// An upgrade that breaks db is taken back, and web runs as before.
	if out, err := h.command(h.services("apply", broken)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "generation 1 is in use again") {
		t.Fatalf("got %v\n%s", err, out)
	}
	h.whole(3)
	// A service that its user has stopped is missed by nobody.
	_, _ = get(&http.Client{}, "http://"+address+"/exit")
	until(t, "web is stopped again", func() bool { return h.programs("web") == 0 })
	h.must(h.services("stop", "db")...)
	until(t, "web runs without db", func() bool { return h.programs("web") == 1 })
	until(t, "web is ready without db", func() bool { return h.programOf("web") != 0 })
	program := h.programOf("web")
	time.Sleep(3 * needLook)
	if got := h.programOf("web"); got != program {
		t.Errorf("web was restarted for a service that is stopped: process %d, and %d before", got, program)
	}
}

// programOf returns the process of a service that is ready, and 0 if it is not.
func (h *servicesHome) programOf(name string) int {
	h.t.Helper()
	for _, s := range h.status() {
		if s.Name == name && s.Ready {
			return s.Program
		}
	}
	return 0
}

// until waits until something is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

// TestServiceJobsApplied applies jobs: one runs each second, one makes up once for what it missed while nothing ran, and neither is touched by an apply that changes
// nothing.
func TestServiceJobsApplied(t *testing.T) {
	h := newServicesHome(t)
	seldom := `seldom: {run: [$t tool echo seldom], every: {interval: 24hr}}` + "\n"
	one := h.set("one.nu", seldom+`often: {run: [$t tool echo ran], every: {interval: 1sec}}`)
	two := h.set("two.nu", seldom+`often: {run: [$t tool echo other], every: {interval: 1sec}}`)
	kill := h.supervise()
	h.must(h.services("apply", one, "--as", "nuka")...)
	runs := func(name, text string) int {
		b, _ := os.ReadFile(filepath.Join(h.state, name, "log", "current"))
		return strings.Count(string(b), text+"\n")
	}
	until(t, "both have run", func() bool { return runs("often", "ran") > 0 && runs("seldom", "seldom") == 1 })
	before := runs("often", "ran")
	time.Sleep(4 * time.Second)
	if n := runs("often", "ran") - before; n < 3 || n > 5 {
		t.Errorf("it ran %d times in 4 s", n)
	}
	if out := h.must(h.services("status")...); strings.Count(out, "waiting: until") == 0 {
		t.Errorf("got %s", out)
	}
	launchers := h.status()
	h.must(h.services("apply", one)...)
	h.must(h.services("apply", two)...)
	until(t, "the new one runs", func() bool { return runs("often", "other") > 1 })
	for i, s := range h.status() {
		if s.Name == "seldom" && s.Launcher != launchers[i].Launcher {
			t.Error("seldom was restarted")
		}
	}
	kill()
	last := filepath.Join(h.state, "seldom", "last-run")
	if err := os.WriteFile(last, []byte(time.Now().Add(-99*time.Hour).Format(time.RFC3339Nano)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.supervise()
	until(t, "the missed run is made up for", func() bool { return runs("seldom", "seldom") == 2 })
	time.Sleep(2 * time.Second)
	if n := runs("seldom", "seldom"); n != 2 {
		t.Errorf("it ran %d times", n)
	}
}

// TestServiceSecret looks for the values of secrets everywhere while the program that has them runs: in the whole home, with the store, units, records and logs, and in the
// arguments and variables of all processes. They are in a folder that only the user can read, which goes with the program.
func TestServiceSecret(t *testing.T) {
	h := newServicesHome(t)
	outside, private := t.TempDir(), t.TempDir()
	h.env = append(h.env, "XDG_RUNTIME_DIR="+private)
	values := []string{"s3cret-of-a-file-5d1f", "s3cret-of-a-command-9c02"}
	file, command := filepath.Join(outside, "key"), filepath.Join(outside, "print")
	for at, text := range map[string]string{file: values[0], command: "#!/bin/sh\necho s3cret-of-a-$(echo command)-9c02\n"} {
		if err := os.WriteFile(at, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	one := h.set("one.nu", `web: {run: [$t tool later look "{credentials}/key" "{credentials}/word"], state: true, ready: {within: 100ms}, restart: {when: "no"},
secrets: {key: {file: "`+file+`"}, word: {run: ["`+command+`"]}}}`)
	h.supervise()
	h.must(h.services("apply", one, "--as", "nuka")...)
	until(t, "the program waits", func() bool { return exists(filepath.Join(h.state, "web", "state", "ready")) })
	given := mustGlob(filepath.Join(private, "nuka-secrets-*"))
	if len(given) != 1 {
		t.Fatalf("folders of secrets: %v", given)
	}
	for i, name := range []string{"key", "word"} {
		text, err := os.ReadFile(filepath.Join(given[0], name))
		if err != nil || strings.TrimSpace(string(text)) != values[i] {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
	if info, err := os.Stat(given[0]); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	looked := 0
	look := func(at string) {
		text, err := os.ReadFile(at)
		if err != nil {
			return // it has gone, or is no file
		}
		looked++
		for _, value := range values {
			if strings.Contains(string(text), value) {
				t.Errorf("%s has the secret %s", at, value)
			}
		}
	}
	err := filepath.WalkDir(h.home, func(at string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			look(at)
		}
		return nil //nolint:nilerr // files come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/environ"} {
		for _, at := range mustGlob(pattern) {
			look(at)
		}
	}
	if looked < 50 {
		t.Errorf("only %d files were looked at", looked)
	}
	if err := os.WriteFile(filepath.Join(h.state, "web", "state", "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "the secrets have gone with the program", func() bool { return len(mustGlob(filepath.Join(private, "nuka-secrets-*"))) == 0 })
	if out := h.must(h.services("logs", "web")...); strings.Count(out, "/key") != 1 || strings.Count(out, "/word") != 1 {
		t.Errorf("the program did not see its secrets: %s", out)
	}
}

func exists(at string) bool {
	_, err := os.Lstat(at)
	return err == nil
}
