//go:build unix

package wasmrt

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// pollSlice is how long hostPoll waits before it checks whether ctx is done.
const pollSlice = 50 * time.Millisecond

// hostPoll waits until one of the files need not wait or the time is over; a negative time means no time limit.
func hostPoll(ctx context.Context, files []awaited, wait time.Duration) ([]readiness, errno) {
	list := make([]unix.PollFd, len(files))
	for i, f := range files {
		list[i] = f.pollFD()
	}
	start := time.Now()
	for {
		slice := pollSlice
		if wait >= 0 {
			slice = min(slice, max(wait-time.Since(start), 0))
		}
		// The timeout is rounded up to a millisecond: a program that waits for less must not spin.
		for i, f := range files {
			if f.sock != nil && f.sock.listens && f.sock.set.draining.Load() {
				list[i].Fd = -1 // poll passes over it
			}
		}
		n, err := unix.Poll(list, int((slice+time.Millisecond-1)/time.Millisecond))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, errnoOf(err)
		}
		if n > 0 || wait >= 0 && time.Since(start) >= wait || ctx.Err() != nil {
			break
		}
	}
	out := make([]readiness, len(files))
	for i, f := range list {
		out[i].ok = f.Revents != 0
		if f.Revents&unix.POLLIN != 0 {
			if n, err := unix.IoctlGetInt(int(f.Fd), fionread); err == nil {
				out[i].count = uint64(max(n, 0))
			}
		}
		if s := files[i].sock; out[i].ok && (files[i].write || s != nil && s.listens) {
			out[i].count = max(out[i].count, 1)
		}
		if f.Revents&unix.POLLHUP != 0 && out[i].count == 0 {
			out[i].flags = eventHangup
		}
	}
	return out, eOK
}

func (a awaited) pollFD() unix.PollFd {
	fd := unix.PollFd{Events: unix.POLLIN}
	if a.write {
		fd.Events = unix.POLLOUT
	}
	if a.sock != nil {
		fd.Fd = int32(a.sock.fd)
	} else {
		fd.Fd = int32(a.file.Fd())
	}
	return fd
}
