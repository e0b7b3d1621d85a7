package bus

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path"
	"strings"
	"syscall"

	"github.com/MordragT/nuka/protocol"
)

// Main is the program of a filter in a process of its own: it serves until the launcher closes the pipe of --alive, or ends it by SIGTERM, and returns
// its exit code. Portals identify the sandboxed program by this process, so the launcher starts it below a root that has /.flatpak-info.
//
//	--bus ADDRESS       the session bus, as in DBUS_SESSION_BUS_ADDRESS
//	--socket PATH       where to listen; PATH must not exist. Or --socket FD, a number, for a socket that listens already
//	--app ID            the application's id, whose names the program may own
//	--see, --talk, --own NAME   grants a name; may be given several times
//	--ready FD          where the filter writes one byte when it listens
//	--alive FD          a pipe or socket; the filter ends when its other end is closed
//
// Portals may always be called. Refusals are lines on standard error.
func Main(args []string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(args, log); err != nil {
		fmt.Fprintf(os.Stderr, "nuka: filter of the session bus: %v\n", err)
		var e *protocol.Error
		if errors.As(err, &e) && e.Hint != "" {
			fmt.Fprintf(os.Stderr, "hint: %s\n", e.Hint)
		}
		return 1
	}
	return 0
}

func run(args []string, log *slog.Logger) error {
	p := &Policy{Names: map[string]Access{}}
	set := flag.NewFlagSet("bus-filter", flag.ContinueOnError)
	address := set.String("bus", "", "the address of the session bus")
	socket := set.String("socket", "", "the path of the filter's socket, or the number of a descriptor")
	app := set.String("app", "", "the id of the application")
	ready := set.Int("ready", -1, "the descriptor that gets a byte when the filter listens")
	alive := set.Int("alive", -1, "the descriptor whose other end the launcher holds")
	for _, a := range []Access{See, Talk, Own} {
		set.Func(a.String(), "a name that the program may "+a.String(), func(name string) error {
			p.Names[name] = max(p.Names[name], a)
			return CheckName(name)
		})
	}
	if err := set.Parse(args); err != nil {
		return protocol.Errorf(protocol.Invalid, "%w", err)
	}
	if set.NArg() > 0 {
		return protocol.Errorf(protocol.Invalid, "%q is no flag", set.Arg(0))
	}
	p.AddPortals()
	if *app != "" {
		if err := CheckName(*app); err != nil {
			return err
		}
		p.AddApplication(*app)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *alive >= 0 {
		ended, cancel := context.WithCancel(ctx)
		defer cancel()
		ctx = ended
		f := os.NewFile(uintptr(*alive), "alive")
		go func() {
			_, _ = f.Read(make([]byte, 1))
			cancel()
		}()
	}
	l, err := listen(*socket)
	if err != nil {
		return err
	}
	if *ready >= 0 {
		f := os.NewFile(uintptr(*ready), "ready")
		_, err := f.Write([]byte{'x'})
		if err := errors.Join(err, f.Close()); err != nil {
			_ = l.Close()
			return protocol.Errorf(protocol.Unavailable, "tell the launcher that the filter listens: %w", err)
		}
	}
	return Serve(ctx, l, *address, p, log)
}

// listen returns a listener at a path, for this user only, or one for the socket of a descriptor.
func listen(socket string) (*net.UnixListener, error) {
	var l net.Listener
	var err error
	var fd int
	switch n, _ := fmt.Sscanf(socket, "%d", &fd); {
	case path.IsAbs(socket):
		old := syscall.Umask(0o177)
		l, err = net.Listen("unix", socket)
		syscall.Umask(old)
	case n == 1 && fd > 2 && strings.Trim(socket, "0123456789") == "":
		f := os.NewFile(uintptr(fd), "socket")
		l, err = net.FileListener(f)
		_ = f.Close()
	default:
		err = errors.New("it is neither an absolute path nor the number of a descriptor")
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "listen at %q: %w", socket, err)
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		_ = l.Close()
		return nil, protocol.Errorf(protocol.Invalid, "listen at %q: it is no unix socket", socket)
	}
	return ul, nil
}
