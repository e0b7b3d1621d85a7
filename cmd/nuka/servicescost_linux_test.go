package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/service"
)

// TestServicesLauncherCost compares a launcher that runs a program of WebAssembly once with the process that becomes the program, by the fastest of many runs: the
// difference is what keeping it running costs. And it looks at the memory of a launcher whose program runs.
func TestServicesLauncherCost(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1: it measures")
	}
	const most, mostMemory, rounds = 20 * time.Millisecond, 15 << 20, 40
	h := newServicesHome(t)
	one := h.set("one.nu", `web: {run: [$t tool sleep], ready: {within: 100ms}}`+"\n"+`tick: {run: [$t tool echo ran], every: {interval: 24hr}}`)
	h.supervise()
	h.must(h.services("apply", one, "--as", "nuka")...)
	launcher := 0
	for _, s := range h.status() {
		if s.Name == "web" {
			launcher = s.Launcher
		}
	}
	memory := map[string]int{}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", launcher))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) == 3 && strings.HasPrefix(words[0], "Rss") {
			memory[strings.TrimSuffix(words[0], ":")], _ = strconv.Atoi(words[1])
		}
	}
	own := memory["RssAnon"] << 10
	h.must(h.services("stop", "tick")...)
	fastest, least := map[string]time.Duration{}, map[string]time.Duration{}
	for range rounds {
		for name, words := range map[string][]string{"program": h.services("become", one, "tick"), "launcher": h.services("exec", "tick@1")} {
			c := h.command(words...)
			c.Env = append(c.Env, service.OneRun+"=1")
			begin := time.Now()
			out, err := c.CombinedOutput()
			took := time.Since(begin)
			used := c.ProcessState.UserTime() + c.ProcessState.SystemTime() // with that of its programs
			if err != nil || !strings.Contains(string(out), "ran") {
				t.Fatalf("%v: %v\n%s", words, err, out)
			}
			if before, ok := fastest[name]; !ok || took < before {
				fastest[name] = took
			}
			if before, ok := least[name]; !ok || used < before {
				least[name] = used
			}
		}
	}
	cost, cpu := fastest["launcher"]-fastest["program"], least["launcher"]-least["program"]
	t.Logf("the program alone %s, with its launcher %s: %s more, and %s of the processors more; memory of its own %d KiB, with shared files %v KiB", fastest["program"], fastest["launcher"], cost, cpu, own>>10, memory)
	if cost > most {
		t.Errorf("the launcher costs %s, want %s at most", cost, most)
	}
	if own > mostMemory {
		t.Errorf("the launcher has %d bytes of its own, want %d at most", own, mostMemory)
	}
}
