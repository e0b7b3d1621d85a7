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

// doorInterval is how often a daemon looks whether its socket is still there.
const doorInterval = 2 * time.Second

// A door is the socket of a daemon's folder, with the file beside it that has the daemon's address.
type door struct {
	dir      string
	hello    hello
	path     string
	listener *net.UnixListener
	file     os.FileInfo // the socket, as it was made; nil if it could not be
}

// openDoor makes the socket of a folder, and the folder. The caller holds the store, so a socket that is there is a dead one.
func openDoor(dir string, h hello) (*door, error) {
	d := &door{dir: dir, hello: h}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *door) open() error {
	d.file = nil
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
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
	listener.SetUnlinkOnClose(false) // by then another daemon's socket may have the name
	err = os.Chmod(path, 0o600)
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

// stands reports whether the socket is the one that was made.
func (d *door) stands() bool {
	info, err := os.Lstat(d.path)
	return err == nil && os.SameFile(info, d.file) && info.ModTime().Equal(d.file.ModTime())
}

// close takes the address and the socket away, unless another daemon's have their names.
func (d *door) close() {
	if d.stands() {
		os.Remove(filepath.Join(d.dir, addressName)) // before the socket goes, which is what others wait for
		os.Remove(d.path)
	}
	d.listener.Close()
}

// keepDoor makes the door anew when it has vanished, until ctx ends: whatever cleans up folders of sessions and temporary files does
// not know that a daemon listens there, and without a socket no command could reach or replace the daemon, which has the store.
// The socket of another daemon that answers is left alone. accept is called with each new listener.
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
			return // what was found means nothing: the question was cut off
		}
		if err == nil || errors.Is(err, ErrSilent) { // another's; of any other error open says what is wrong
			continue
		}
		d.listener.Close()
		if err := d.open(); err != nil {
			// Such as after the end of a session: the next one brings the folder back. The log gets each text once.
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
