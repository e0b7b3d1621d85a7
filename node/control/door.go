package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// doorInterval is how often a daemon checks that its socket still exists.
const doorInterval = 2 * time.Second

// A door is the socket in a daemon's folder, with the file beside it that has the daemon's address.
type door struct {
	dir      string
	hello    hello
	everyone bool // each user of the machine may connect
	path     string
	listener *net.UnixListener
	file     os.FileInfo // the socket, as open made it; nil if that failed
}

// openDoor makes a folder and the socket in it. The caller has locked the store, so an existing socket belongs to a daemon that has ended.
func openDoor(dir string, h hello, everyone bool) (*door, error) {
	d := &door{dir: dir, hello: h, everyone: everyone}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *door) open() error {
	d.file = nil
	folder, socket := os.FileMode(0o700), os.FileMode(0o600)
	if d.everyone {
		folder, socket = 0o755, 0o666
	}
	if err := os.MkdirAll(d.dir, folder); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	path, err := socketPath(d.dir)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	listener.SetUnlinkOnClose(false) // when it closes, another daemon's socket may have the name
	err = os.Chmod(path, socket)
	if err == nil {
		err = d.writeAddress()
	}
	var file os.FileInfo
	if err == nil {
		file, err = os.Lstat(path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("control socket: %w", err), listener.Close(), os.Remove(path))
	}
	d.path, d.listener, d.file = path, listener, file
	return nil
}

func (d *door) writeAddress() error {
	b, err := json.Marshal(d.hello)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, addressName), append(b, '\n'), 0o600)
}

// stands reports whether the socket on disk is the one that open made.
func (d *door) stands() bool {
	info, err := os.Lstat(d.path)
	return err == nil && os.SameFile(info, d.file) && info.ModTime().Equal(d.file.ModTime())
}

// close removes the address and the socket, unless they belong to another daemon.
func (d *door) close() {
	if d.stands() {
		os.Remove(filepath.Join(d.dir, addressName)) // before the socket, because other processes wait for the socket to vanish
		os.Remove(d.path)
	}
	d.listener.Close()
}

// keepDoor recreates the door whenever it has vanished, until ctx ends. A program that cleans up folders of sessions and temporary files does
// not know that a daemon listens there, and without a socket no command could reach or replace the daemon, which has the store.
// If another daemon answers at the socket, keepDoor leaves that socket alone. It calls accept with each new listener.
func (s *server) keepDoor(ctx context.Context, d *door, accept func(net.Listener)) {
	tick := time.NewTicker(doorInterval)
	defer tick.Stop()
	var last string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.stands() {
			continue
		}
		if _, err := os.Stat(s.o.Home); s.o.Home != "" && errors.Is(err, os.ErrNotExist) {
			continue
		}
		conn, err := dialSocket(ctx, d.dir)
		if err == nil {
			conn.Close()
		}
		if ctx.Err() != nil {
			return // the result of dialSocket means nothing, because ctx ended it
		}
		if err == nil || errors.Is(err, ErrSilent) { // another daemon's socket; for any other error, open reports the cause
			continue
		}
		d.listener.Close()
		if err := d.open(); err != nil {
			// This happens after the end of a session; the next session brings the folder back. The log gets each text once.
			if err.Error() != last {
				s.log.Warn("the control socket has vanished, and cannot be made anew yet", "error", err)
			}
			last = err.Error()
			continue
		}
		s.log.Warn("the control socket had vanished, and was made anew", "socket", d.path)
		last = ""
		accept(d.listener)
	}
}
