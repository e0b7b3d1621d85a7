//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// toolPackage is a program of WebAssembly, or a memory-safe one of this machine, as a package file.
func toolPackage(t *testing.T, dir, url string, native bool) {
	t.Helper()
	name, sum, fields := "tool.wasm", sha256.Sum256(toolWasm), ""
	if native {
		name, sum, fields = "tool.native", sha256.Sum256(toolNative), "\n    platform: linux-x86_64\n    memory_safe: {language: go, linking: static, build: \"CGO_ENABLED=0\"}"
	}
	text := fmt.Sprintf(`export def main [] {
  derivation {
    name: tool, version: "1"%s
    src: (fetch url %s/%s --unpack file --hash sha256-%x)
    build: {|b| mkdir $"($b.out)/bin"; cp $b.src $"($b.out)/bin/tool"; chmod +x $"($b.out)/bin/tool" }
  }
}
`, fields, url, name, sum)
	if err := os.WriteFile(filepath.Join(dir, "tool.nu"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// freeAddress returns an address of loopback that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// newServices returns a home with a set of services.
func newServices(t *testing.T, native bool, fields string) *victim {
	t.Helper()
	home := shortDir(t)
	v := &victim{t: t, home: home, dir: t.TempDir()}
	t.Cleanup(func() { stop(t, home) })
	if err := os.WriteFile(filepath.Join(home, "config.nuon"), []byte("{mount: checkout}"), 0o600); err != nil {
		t.Fatal(err)
	}
	toolPackage(t, v.dir, serve(t, t.TempDir()).URL, native)
	set := "use lib/services.nu\nuse ./tool.nu\nexport def main [] { let t = (tool); services {" + fields + "} }\n"
	if err := os.WriteFile(filepath.Join(v.dir, "set.nu"), []byte(set), 0o644); err != nil {
		t.Fatal(err)
	}
	return v
}

// A running is nuka services run.
type running struct {
	*exec.Cmd
	out *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (v *victim) runServices(files ...*os.File) *running {
	v.t.Helper()
	c, _ := v.command("services", "run", "./set.nu", "--state", filepath.Join(v.dir, "state"))
	c.ExtraFiles = files
	r := &running{c, &syncBuffer{}}
	c.Stdout, c.Stderr = r.out, r.out
	if err := c.Start(); err != nil {
		v.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(ended)
	}()
	v.t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = c.Process.Kill()
			v.t.Error("nuka services run does not end")
		}
		if v.t.Failed() {
			v.t.Logf("%s", r.out)
		}
	})
	return r
}

// await waits until the output has a text so many times.
func (r *running) await(t *testing.T, text string, times int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); strings.Count(r.out.String(), text) < times; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %q", text)
		}
	}
}

// child returns the process that became the program of the service. The daemon may be another child.
func (r *running) child(t *testing.T) int {
	t.Helper()
	for _, word := range strings.Fields(childrenOf(r.Process.Pid)) {
		line, err := os.ReadFile("/proc/" + word + "/cmdline")
		if err == nil && strings.Contains(string(line), "\x00become\x00") {
			pid, _ := strconv.Atoi(word) // the system writes numbers
			return pid
		}
	}
	t.Fatal("no program runs")
	return 0
}

func mustGlob(pattern string) []string {
	list, _ := filepath.Glob(pattern)
	return list
}

func get(client *http.Client, url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// TestServiceSockets makes 500 requests during two restarts of a server that takes 300 ms to start, and loses none. It serves in WebAssembly, on a socket that was opened
// for it; a native server does the same, which is killed while nothing is in progress.
func TestServiceSockets(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("the test finds processes in /proc")
	}
	for _, native := range []bool{false, true} {
		t.Run(map[bool]string{false: "wasm", true: "native"}[native], func(t *testing.T) {
			address := freeAddress(t)
			v := newServices(t, native, `web: {run: [$t tool serve http "300"], listen: {http: "`+address+`"}, restart: {delay: 100ms}}`)
			r := v.runServices()
			r.await(t, "web is ready", 1)
			r.await(t, "LISTEN_PID is mine: true", 1)
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if got, err := get(client, "http://"+address+"/"); err != nil || got != "hello" {
				t.Fatalf("got %q, %v", got, err)
			}
			if !native { // memory-safe programs run with the user's own rights
				if got, err := get(client, "http://"+address+"/reach?"+strings.TrimPrefix(serve(t, t.TempDir()).URL, "http://")); err != nil || got != "reached: false" {
					t.Errorf("a connection from inside: got %q, %v", got, err)
				}
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			asked, lost, worst := 0, 0, time.Duration(0)
			next := func() bool {
				mu.Lock()
				defer mu.Unlock()
				asked++
				return asked <= 500
			}
			for range 4 {
				wg.Go(func() {
					for next() {
						begin := time.Now()
						got, err := get(client, "http://"+address+"/")
						mu.Lock()
						if worst = max(worst, time.Since(begin)); err != nil || got != "hello" {
							lost++
							t.Logf("request %d: %q, %v", asked, got, err)
						}
						mu.Unlock()
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			if native { // what it has accepted dies with it: ask nothing at this moment
				wg.Wait()
				asked = 0
			}
			for i := range 2 {
				time.Sleep(300 * time.Millisecond)
				if err := syscall.Kill(r.child(t), syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if native {
					r.await(t, "web is pausing", i+1) // until then it may still accept a connection that dies with it
					for range 4 {
						wg.Go(func() {
							if got, err := get(client, "http://"+address+"/"); err != nil || got != "hello" {
								t.Errorf("got %q, %v", got, err)
							}
						})
					}
					wg.Wait()
				}
				r.await(t, "web is ready", i+2)
			}
			wg.Wait()
			if lost > 0 {
				t.Errorf("%d requests were lost", lost)
			}
			t.Logf("none of 500 requests was lost; the slowest took %s", worst.Round(time.Millisecond))
		})
	}
}

// TestServiceLeavesNothing stops a memory-safe program that has started a process in a session of its own, which ignores signals.
func TestServiceLeavesNothing(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("other systems cannot find what left a process group")
	}
	v := newServices(t, true, `runner: {run: [$t tool escape "{state}/pid"], state: true}`)
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		r := v.runServices()
		r.await(t, "escaped", 1)
		text, err := os.ReadFile(filepath.Join(v.dir, "state", "runner", "state", "pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(text))
		if err != nil || !alive(pid, "") {
			t.Fatalf("the process that escaped: %d, %v", pid, err)
		}
		t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
		if how == syscall.SIGTERM {
			_ = r.Process.Signal(os.Interrupt)
			r.await(t, "runner is ended: stopped", 1)
		} else { // the program itself is killed, and started again
			for _, child := range strings.Fields(childrenOf(r.child(t))) {
				if p, err := strconv.Atoi(child); err == nil && p != pid {
					_ = syscall.Kill(p, syscall.SIGKILL)
				}
			}
			r.await(t, "runner is pausing", 1)
		}
		for end := time.Now().Add(5 * time.Second); alive(pid, ""); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%v: process %d outlives its service", how, pid)
			}
		}
	}
}

func childrenOf(pid int) (out string) {
	for _, task := range mustGlob(fmt.Sprintf("/proc/%d/task/*/children", pid)) {
		text, _ := os.ReadFile(task)
		out += string(text) + " "
	}
	return out
}

// TestServiceNotify has a stranger say that a program is ready, and then the program itself.
func TestServiceNotify(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this system does not tell who sent a message")
	}
	v := newServices(t, true, `db: {run: [$t tool notify "{state}/go"], state: true, ready: {notify: true}}`)
	r := v.runServices()
	r.await(t, "socket /", 1)
	_, rest, _ := strings.Cut(r.out.String(), "| socket ")
	at, _, _ := strings.Cut(rest, "\n")
	c, err := net.Dial("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if strings.Contains(r.out.String(), "db is ready") {
		t.Error("a stranger said that it is ready")
	}
	if err := os.WriteFile(filepath.Join(v.dir, "state", "db", "state", "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.await(t, "db is ready", 1)
}

// TestServiceJobs runs a job of WebAssembly each second, and makes up once for runs that were missed while nothing ran.
func TestServiceJobs(t *testing.T) {
	v := newServices(t, false, `often: {run: [$t tool echo ran], every: {interval: 1sec}}, seldom: {run: [$t tool echo seldom], every: {interval: 24hr}}`)
	r := v.runServices()
	r.await(t, "seldom | seldom", 1)
	r.await(t, "often | ran", 4)
	_ = r.Process.Signal(os.Interrupt)
	r.await(t, "often is ended: stopped", 1)
	last := filepath.Join(v.dir, "state", "seldom", "last-run")
	if err := os.WriteFile(last, []byte(time.Now().Add(-99*time.Hour).Format(time.RFC3339Nano)), 0o600); err != nil {
		t.Fatal(err)
	}
	again := v.runServices()
	again.await(t, "seldom | seldom", 1)
	again.await(t, "often | ran", 2)
	if n := strings.Count(again.out.String(), "seldom | seldom"); n != 1 {
		t.Errorf("the missed job ran %d times", n)
	}
}

// TestServiceInheritsSockets runs programs below a command that has inherited a file: they get their sockets and nothing else.
func TestServiceInheritsSockets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the test reads /proc")
	}
	v := newServices(t, true, `none: {run: [$t tool fds]}, web: {run: [$t tool fds], listen: {http: "`+freeAddress(t)+`"}, ready: {http: "/", within: 1min}}`)
	secret, err := os.Create(filepath.Join(v.dir, "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	v.works("build", "./set.nu") // a command that starts the daemon keeps what it has inherited to itself
	r := v.runServices(secret, secret, secret, secret)
	r.await(t, "none | end of list, LISTEN_FDS \n", 1)
	r.await(t, "web | end of list, LISTEN_FDS 1\n", 1)
	out := r.out.String()
	if strings.Contains(out, "none | inherited") || strings.Count(out, "web | inherited") != 1 || !strings.Contains(out, "web | inherited 3 socket:") {
		t.Errorf("got %s", out)
	}
}
