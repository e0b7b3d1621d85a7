package fsmount

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// opener is a waiter that opens a file, or looks up a package that may have to be fetched: a signal ends its wait, as programs expect of what can be slow (open(2), EINTR).
func opener(interrupted <-chan struct{}) waiter {
	return waiter{interrupted, func() bool { return true }}
}

// process is the waiter of any other call. It goes on waiting through signals that it handles, as with a disk: read(2) of a file and stat(2) are not
// interrupted there, and an error that answers a page fault ends the program with SIGBUS. It is gone when it is about to die.
func process(interrupted <-chan struct{}, h *fuse.InHeader) waiter {
	thread := h.Pid
	return waiter{interrupted, func() bool { return dying(thread) }}
}

// dying reports whether a thread is gone, or has a signal pending that ends it: SIGKILL, which the kernel also sends to each thread of a process that
// another signal ends, or one that ends a program with a dump of its memory and that the program does not handle. A thread of which this process sees
// nothing, such as one whose name space of processes is not below this one's, is not.
func dying(thread uint32) bool {
	if thread == 0 {
		return false
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return os.IsNotExist(err)
	}
	masks := map[string]uint64{}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if mask, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 16, 64); err == nil && (bytes.HasPrefix(name, []byte("Sig")) || bytes.HasPrefix(name, []byte("ShdPnd"))) {
			masks[string(name)] = mask
		}
	}
	pending := masks["SigPnd"] | masks["ShdPnd"]
	kept := masks["SigBlk"] | masks["SigIgn"] | masks["SigCgt"]
	return pending&bit(unix.SIGKILL) != 0 || pending&(bit(unix.SIGQUIT)|bit(unix.SIGABRT)|bit(unix.SIGXCPU))&^kept != 0
}

// bit is the bit of a signal in a mask of proc_pid_status(5).
func bit(s unix.Signal) uint64 { return 1 << (s - 1) }
