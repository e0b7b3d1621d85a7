package supervise

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/service"
)

// A Handed is a listening socket that a service manager passed to this process.
type Handed struct {
	Name string
	File *os.File
}

// HandedByParent is LISTEN_PID for a process whose number its parent does not know when it starts it: it becomes the program.
const HandedByParent = "self"

// Hand returns what a process needs to get listening sockets: variables, and its descriptors from 3 on (sd_listen_fds(3)).
func Hand(list []Handed) (env []string, files []*os.File, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	var names []string
	for _, h := range list {
		if err := Inheritable(h.File); err != nil {
			return nil, nil, fmt.Errorf("listen: %s: %w", h.Name, err)
		}
		names, files = append(names, h.Name), append(files, h.File)
	}
	return []string{"LISTEN_FDS=" + strconv.Itoa(len(list)), "LISTEN_FDNAMES=" + strings.Join(names, ":"), "LISTEN_PID=" + HandedByParent}, files, nil
}

// Listen returns the listening sockets of a service, in the order of Listen: those that a service manager handed over, if they have the name and the address, and new
// ones. The caller closes them when the service does not run any more. Requests that come before its program accepts them wait.
func Listen(s *service.Service, handed []Handed) (files []*os.File, err error) {
	for _, socket := range s.Listen {
		f := take(handed, socket)
		if f == nil {
			if f, err = listen(socket); err != nil {
				for _, f := range files {
					f.Close()
				}
				return nil, fmt.Errorf("listen: %s: %w", socket.Name, err)
			}
		}
		files = append(files, f)
	}
	return files, nil
}

// take returns a socket that was handed over, or nil.
func take(handed []Handed, socket service.Socket) *os.File {
	for _, h := range handed {
		if h.Name != socket.Name {
			continue
		}
		l, err := net.FileListener(h.File)
		if err != nil {
			continue
		}
		at := l.Addr().String()
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
		l.Close()
		if at == socket.Address {
			return h.File
		}
	}
	return nil
}

func listen(socket service.Socket) (*os.File, error) {
	if socket.Network == "unix" {
		// A socket that a dead process left behind is in the way.
		if info, err := os.Lstat(socket.Address); err == nil && info.Mode()&fs.ModeSocket != 0 {
			if c, err := net.Dial("unix", socket.Address); err == nil {
				c.Close()
			} else if err := os.Remove(socket.Address); err != nil {
				return nil, err
			}
		}
	}
	l, err := net.Listen(socket.Network, socket.Address)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		if err := os.Chmod(socket.Address, 0o600); err != nil {
			return nil, err
		}
	}
	f, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return f.File()
}

// ProbeSocket reports whether a program accepts connections from a listening socket that this process has too. That a connection can be made says nothing: the
// system makes it before the program knows of it. So ProbeSocket makes one and waits until none is left to accept.
func ProbeSocket(ctx context.Context, f *os.File, socket service.Socket) error {
	c, err := new(net.Dialer).DialContext(ctx, socket.Network, socket.Local())
	if err != nil {
		return err
	}
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		waits, err := acceptable(f)
		if err != nil || !waits {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("it accepts no connection at %s", socket)
		}
	}
}

// socketOf returns the listening socket of a name.
func socketOf(s *service.Service, files []*os.File, name string) *os.File {
	i := slices.IndexFunc(s.Listen, func(one service.Socket) bool { return one.Name == name })
	if i < 0 || i >= len(files) {
		return nil
	}
	return files[i]
}

// ProbeWith makes a check of a service whose listening sockets this process has.
func ProbeWith(ctx context.Context, s *service.Service, files []*os.File, c service.Check) error {
	if f := socketOf(s, files, c.On); f != nil && c.HTTP == "" {
		return ProbeSocket(ctx, f, c.Socket)
	}
	return Probe(ctx, c)
}
