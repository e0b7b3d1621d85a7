package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A hearer hears that a program says it is ready (sd_notify(3)), and no other process: the kernel tells who sent a message.
type hearer struct {
	conn   *net.UnixConn
	dir    string
	sender atomic.Int64
	ready  atomic.Bool
	done   chan struct{}
}

// hearNotify opens a socket for the messages of a command that is about to start.
func hearNotify(c *exec.Cmd) (*hearer, error) {
	dir, err := os.MkdirTemp(privateFolder(), "nuka-notify-")
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: at, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("ready: notify: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		var failed error
		if err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }); err == nil {
			err = failed
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ready: notify: %w", err)
	}
	c.Env = append(c.Env, "NOTIFY_SOCKET="+at)
	return &hearer{conn: conn, dir: dir, done: make(chan struct{})}, nil
}

// from says which process the messages come from, or from one below it, and begins to hear.
func (h *hearer) from(pid int) {
	h.sender.Store(int64(pid))
	go func() {
		defer close(h.done)
		b, oob := make([]byte, 4096), make([]byte, 256)
		for {
			n, m, _, _, err := h.conn.ReadMsgUnix(b, oob)
			if err != nil {
				return
			}
			if slices.Contains(strings.Split(string(b[:n]), "\n"), "READY=1") && h.isFrom(oob[:m]) {
				h.ready.Store(true)
			}
		}
	}()
}

// isFrom reports whether a message is one of the program's.
func (h *hearer) isFrom(oob []byte) bool {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range list {
		if who, err := unix.ParseUnixCredentials(&m); err == nil {
			pid := int(h.sender.Load())
			return int(who.Pid) == pid || slices.Contains(below(pid), int(who.Pid))
		}
	}
	return false
}

func (h *hearer) close() {
	_ = h.conn.SetReadDeadline(time.Now()) // its reader ends
	if h.sender.Load() != 0 {
		<-h.done
	}
	_ = h.conn.Close()
	_ = os.RemoveAll(h.dir)
}

// Told implements supervise.Prober.
func (p *serviceProcess) Told() bool { return p.told != nil && p.told.ready.Load() }
