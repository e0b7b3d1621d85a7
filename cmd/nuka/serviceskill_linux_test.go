package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// servicesHome is a home with sets of services, and a folder for their state.
type servicesHome struct {
	t           *testing.T
	home, state string
	env         []string
}

func newServicesHome(t *testing.T) *servicesHome {
	t.Helper()
	home, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	h := &servicesHome{t: t, home: home, state: filepath.Join(home, "services")}
	h.env = append(os.Environ(), "NUKA_HOME="+filepath.Join(home, "n"), "HOME="+filepath.Join(home, "user"), "TERM=dumb", "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Cleanup(func() {
		stop(t, filepath.Join(home, "n"))
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	server := serve(t, t.TempDir())
	toolPackage(t, home, server.URL, false)
	return h
}

func (h *servicesHome) write(name, text string) string {
	h.t.Helper()
	at := filepath.Join(h.home, name)
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return at
}

// set builds a set of services, given as lines of its record, and returns its PID.
func (h *servicesHome) set(name, services string) string {
	h.t.Helper()
	at := h.write(name, "use lib/services.nu\nuse ./tool.nu\nexport def main [] {\n  let t = (tool)\n  services {\n"+services+"\n  }\n}\n")
	out := h.must("build", at)
	return strings.Fields(out)[0]
}

func (h *servicesHome) command(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(programs, "nuka"), args...)
	c.Env = h.env
	return c
}

func (h *servicesHome) must(args ...string) string {
	h.t.Helper()
	c := h.command(args...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		h.t.Fatalf("nuka %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.Bytes())
	}
	return string(out)
}

// services calls a command for the services of the home.
func (h *servicesHome) services(args ...string) []string {
	return append(append([]string{"services"}, args...), "--state", h.state)
}

func (h *servicesHome) status() (list []serviceStatus) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.must(h.services("status", "--json")...)), &list); err != nil {
		h.t.Fatal(err)
	}
	return list
}

// supervise starts nuka's own supervisor, and returns when it takes orders. kill kills it, and waits for its end.
func (h *servicesHome) supervise() (kill func()) {
	h.t.Helper()
	c := h.command(h.services("run")...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = c.Wait() // it is killed
		close(ended)
	}()
	end := func(s os.Signal) {
		_ = c.Process.Signal(s) // it may have ended
		<-ended
	}
	h.t.Cleanup(func() { end(os.Interrupt) })
	for range 2000 {
		text, _ := os.ReadFile(filepath.Join(h.state, ".nuka", "supervisor.pid"))
		if _, err := os.Stat(filepath.Join(h.state, ".nuka", "control")); err == nil && strings.TrimSpace(string(text)) == fmt.Sprint(c.Process.Pid) {
			return func() { end(os.Kill) }
		}
		time.Sleep(10 * time.Millisecond)
	}
	end(os.Kill)
	h.t.Fatalf("the supervisor does not start: %s", &said)
	return nil
}

// whole waits until all services are ready as the current generation says, and fails the test unless each has one program.
func (h *servicesHome) whole(services int) {
	h.t.Helper()
	var list []serviceStatus
	for range 1000 {
		list = h.status()
		good := len(list) == services
		for _, s := range list {
			good = good && s.Ready && s.Running == s.Generation
		}
		if good {
			break
		}
		list = nil
		time.Sleep(20 * time.Millisecond)
	}
	if list == nil {
		h.t.Fatalf("not all services are ready: %+v", h.status())
	}
	if _, err := os.Stat(filepath.Join(h.state, ".nuka", "journal")); err == nil {
		h.t.Error("the journal is left")
	}
	for _, s := range list {
		unit, err := os.ReadFile(filepath.Join(h.state, ".nuka", "units", s.Name))
		if want := fmt.Sprintf("%q", fmt.Sprintf("%s@%d", s.Name, s.Generation)); err != nil || !bytes.Contains(unit, []byte(want)) {
			h.t.Errorf("the unit of %s is not that of generation %d: %s, %v", s.Name, s.Generation, unit, err)
		}
		if n := h.programs(s.Name); n != 1 {
			h.t.Errorf("%s has %d programs, want 1", s.Name, n)
		}
	}
	units, _ := filepath.Glob(filepath.Join(h.state, ".nuka", "units", "*"))
	if len(units) != services {
		h.t.Errorf("units %v", units)
	}
}

// programs counts the processes that are the program of a service.
func (h *servicesHome) programs(name string) (n int) {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, at := range list {
		text, _ := os.ReadFile(at)
		if bytes.Contains(text, []byte("\x00services\x00become\x00")) && bytes.Contains(text, []byte("\x00"+name+"\x00")) && bytes.Contains(text, []byte("\x00"+h.state)) {
			n++
		}
	}
	return n
}

// TestServicesKilled kills nuka services apply at random moments, and sometimes the supervisor or a launcher. The next apply leaves exactly one generation in use, whole.
func TestServicesKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("whole networks of processes")
	}
	times := 5
	if os.Getenv("NUKA_LONG") != "" {
		times = 220
	}
	h := newServicesHome(t)
	const one = `    %s: {run: [$t tool sleep], ready: {within: 50ms}, env: {N: "%d"}%s}` + "\n"
	sets := []string{
		h.set("a.nu", fmt.Sprintf(one, "db", 1, "")+fmt.Sprintf(one, "web", 1, ", after: [db]")+fmt.Sprintf(one, "old", 1, "")),
		h.set("b.nu", fmt.Sprintf(one, "db", 2, "")+fmt.Sprintf(one, "web", 2, ", after: [db]")+fmt.Sprintf(one, "new", 1, "")),
	}
	kill := h.supervise()
	begin := time.Now()
	h.must(h.services("apply", sets[0], "--as", "nuka")...)
	took := time.Since(begin)
	h.whole(3)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, an apply takes %s", seed, took)
	r := rand.New(rand.NewPCG(seed, 1))
	killed, last := 0, 0
	for i := range times {
		ctx, cancel := context.WithCancel(t.Context())
		c := exec.CommandContext(ctx, filepath.Join(programs, "nuka"), h.services("apply", sets[1-last])...) // kills it
		c.Env = h.env
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.Int64N(int64(took))))
		cancel()
		if c.Wait() != nil {
			killed++
		}
		switch i % 5 {
		case 3:
			list := h.status()
			if s := list[r.IntN(len(list))]; s.Launcher > 1 {
				_ = syscall.Kill(s.Launcher, syscall.SIGKILL) // it may have ended
			}
		case 4:
			kill()
			kill = h.supervise()
		}
		last = r.IntN(2)
		h.must(h.services("apply", sets[last])...)
		h.whole(3)
		if t.Failed() {
			t.Fatalf("after %d rounds", i+1)
		}
	}
	t.Logf("killed %d of %d", killed, times)
	if killed < times/2 {
		t.Errorf("killed %d of %d: the moments are badly chosen", killed, times)
	}
}
