package main

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/service/deploy"
)

// processStarted returns a text that tells a process from all others of its number: the boot of the machine, and the tick of the clock at which it started
// (proc(5), the 22nd field of stat). "" means that there is no such process.
func processStarted(pid int) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	i := bytes.LastIndexByte(stat, ')') // the name of the program may have spaces
	if err != nil || i < 0 {
		return ""
	}
	fields := bytes.Fields(stat[i+1:])
	if len(fields) < 20 {
		return ""
	}
	return fmt.Sprintf("%s %s", bytes.TrimSpace(boot), fields[19])
}

// endLeftover ends the program of a launcher that was killed: two programs of one service would share its port and its state.
func endLeftover(r deploy.Running) {
	if r.Program > 1 && r.Started != "" && processStarted(r.Program) == r.Started {
		_ = unix.Kill(-r.Program, unix.SIGKILL) // it leads a group, unless it has ended
	}
}
