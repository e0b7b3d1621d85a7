package testnet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// netProcesses returns the processes of a node's net daemons.
func netProcesses(d *Node) []int {
	var pids []int
	parent := d.Process()
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, task := range tasks {
		more, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, task.Name()))
		children = append(append(children, ' '), more...)
	}
	for _, word := range strings.Fields(string(children)) {
		line, _ := os.ReadFile("/proc/" + word + "/cmdline")
		if args := strings.Split(string(line), "\x00"); len(args) > 1 && args[1] == "net" {
			pid, _ := strconv.Atoi(word)
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestNetDaemonDies kills a net daemon repeatedly while a package is received: the requester must notice nothing.
func TestNetDaemonDies(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node(`{up: 10mib, apart: true}`), n.Node("{apart: true}")
	dir, ticket := bigPackage(t, a, 30<<20)
	b.Must(dir, "trust", "add", a.Key(), "--yes")
	var r Result
	done := make(chan struct{})
	go func() {
		defer close(done)
		r = b.Nuka(dir, "get", ticket)
	}()
	killed := map[int]bool{}
	for over := false; !over && len(killed) < 3; {
		select {
		case <-done:
			over = true
			continue
		case <-time.After(600 * time.Millisecond):
		}
		for _, pid := range netProcesses(b) {
			if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil && !strings.Contains(string(status), "Uid:\t65534") {
				t.Errorf("the net daemon is not nobody's:\n%s", status)
			}
			killed[pid] = true
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	<-done
	if r.Code != 0 || len(killed) < 2 {
		t.Errorf("got exit %d after %d ends: %s\nits log:\n%s", r.Code, len(killed), r.Err, b.Log())
	}
	if out := b.Must(dir, "store", "verify", "--json"); !strings.Contains(out, `"problems": []`) {
		t.Errorf("got %s", out)
	}
}
