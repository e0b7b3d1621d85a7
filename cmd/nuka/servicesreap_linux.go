package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// becomeReaper makes this process the parent of all orphans below it: what a program starts cannot leave it, not by a session of its own either. The returned
// function ends what the program has left behind.
func becomeReaper() (reap func()) {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // Linux has it since 3.4
	return func() {
		for _, pid := range below(os.Getpid()) {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		for end := time.Now().Add(leftWait); time.Now().Before(end) && len(below(os.Getpid())) > 0; {
			collect()
			time.Sleep(5 * time.Millisecond)
		}
		killBelow(os.Getpid())
		collect()
	}
}

// apart gives the program a process group of its own, so that it gets each signal once: from this process, which passes them on.
func apart(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func passOn(c *exec.Cmd, s os.Signal) {
	if n, ok := s.(syscall.Signal); ok {
		_ = syscall.Kill(-c.Process.Pid, n) // it may have ended
	}
}

// collect takes the ends of children that nobody waits for.
func collect() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

// killBelow kills all processes below one: again and again, as they may start others meanwhile.
func killBelow(pid int) {
	for range 50 {
		list := below(pid)
		if len(list) == 0 {
			return
		}
		for _, p := range list {
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// below returns the processes below one, without those that have ended.
func below(pid int) (out []int) {
	for _, child := range children(pid) {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err == nil && !strings.Contains(string(stat), ") Z ") {
			out = append(out, child)
		}
		out = append(out, below(child)...)
	}
	return out
}

func children(pid int) (out []int) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // it may have ended
	for _, task := range tasks {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, word := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(word); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}
