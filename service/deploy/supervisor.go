package deploy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/supervise"
)

// An order is what a command asks of the supervisor. The answer is a line: "" or what failed.
type order struct {
	Do   string `json:"do"` // start, restart, stop
	Name string `json:"name"`
}

const (
	// orderBytes bounds an order, and maxOrders those that are carried out at once.
	orderBytes = 4096
	maxOrders  = 100
	// again is the first pause before a launcher that ended by itself is started again.
	again = time.Second
)

// A Supervisor keeps launchers running where the machine has no service manager, or the user wants none. It holds the lock of its folder as long as Run runs.
type Supervisor struct {
	Dir *Dir
	// Out returns where the output of the launcher of a service goes.
	Out func(name string) io.Writer
	// Say tells what happens. It may be called from several goroutines.
	Say func(format string, args ...any)

	mu       sync.Mutex
	children map[string]*child
	wg       sync.WaitGroup
}

// Supervise takes the right to keep the services of a folder running without a service manager. If another process has it, the error has the code Busy.
func (d *Dir) Supervise(ctx context.Context) (*Lock, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	f, err := hold(ctx, d.at("supervisor"))
	if errors.Is(err, ownfile.ErrBusy) {
		return nil, protocol.Errorf(protocol.Busy, "another nuka services run%s keeps the services of %s running", holder(d.at("supervisor")), d.base).
			WithHint("see: nuka services status; for services of their own, name a folder: --state DIR")
	}
	if err != nil {
		return nil, err
	}
	return &Lock{f}, nil
}

// Run starts the launchers of the units in the folder, and carries out orders, until ctx ends and all launchers have stopped. If another supervisor has the folder,
// the error has the code Busy.
func (s *Supervisor) Run(ctx context.Context) error {
	lock, err := s.Dir.Supervise(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	l, err := listenControl(s.Dir)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	s.children = map[string]*child{}
	list, err := os.ReadDir(s.Dir.at("units"))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := s.do(ctx, order{Do: "start", Name: e.Name()}); err != nil {
			s.Say("%v", err) // the others start all the same
		}
	}
	s.serve(ctx, l)
	s.wg.Wait()
	return nil
}

// listenControl opens the socket for orders. The lock says that nobody listens on an old one.
func listenControl(d *Dir) (net.Listener, error) {
	at := d.at("control")
	if err := gone(os.Remove(at)); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", at)
	if err != nil {
		return nil, protocol.Errorf(protocol.Unavailable, "services: %w", err).WithHint("the name of a socket has about 100 bytes at most: name a shorter folder with --state")
	}
	return l, os.Chmod(at, 0o600)
}

func (s *Supervisor) serve(ctx context.Context, l net.Listener) {
	slots := make(chan struct{}, maxOrders)
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				s.Say("orders are not taken any more: %v", err)
				<-ctx.Done()
			}
			return
		}
		slots <- struct{}{}
		s.wg.Go(func() {
			defer func() { <-slots }()
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second)) // a socket has deadlines
			line, err := bufio.NewReader(io.LimitReader(c, orderBytes)).ReadString('\n')
			var o order
			if err == nil {
				err = json.Unmarshal([]byte(line), &o)
			}
			if err == nil {
				err = s.do(ctx, o)
			}
			answer := "\n"
			if err != nil {
				answer = strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
			}
			_, _ = io.WriteString(c, answer) // the command may have ended
		})
	}
}

// do carries out an order.
func (s *Supervisor) do(ctx context.Context, o order) error {
	s.mu.Lock()
	c := s.children[o.Name]
	if c == nil {
		c = &child{s: s, name: o.Name}
		s.children[o.Name] = c
	}
	s.mu.Unlock()
	c.orders.Lock()
	defer c.orders.Unlock()
	switch o.Do {
	case "start":
		if c.end != nil {
			return nil
		}
		return c.start(ctx)
	case "restart":
		c.stop()
		return c.start(ctx)
	case "stop":
		c.stop()
		c.sockets.close()
		return nil
	}
	return fmt.Errorf("there is no order %.40q", o.Do)
}

// A child is the launcher of a service.
type child struct {
	s      *Supervisor
	name   string
	orders sync.Mutex // one at a time

	end  context.CancelFunc // nil: it is not kept running
	done chan struct{}

	sockets openSockets // stay while the launcher is started again; whoever keeps it running owns them
}

func (c *child) start(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("the supervisor is ending")
	}
	if _, err := c.unit(); err != nil {
		return err
	}
	live, end := context.WithCancel(ctx)
	done := make(chan struct{})
	c.end, c.done = end, done
	c.s.wg.Go(func() {
		defer close(done)
		c.keep(live)
	})
	return nil
}

func (c *child) unit() (*launcherUnit, error) {
	text, err := readSmall(c.s.Dir.at("units", c.name), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no unit of the service %.80q", c.name)
	}
	var u *launcherUnit
	if err == nil {
		u, err = decodeUnit(text)
	}
	if err != nil {
		return nil, fmt.Errorf("the unit of the service %s: %w", c.name, err)
	}
	return u, nil
}

func (c *child) stop() {
	if c.end == nil {
		return
	}
	c.end()
	<-c.done
	c.end, c.done = nil, nil
}

// keep starts the launcher again when it ends.
func (c *child) keep(ctx context.Context) {
	policy := service.Restart{Delay: again}
	for n := 0; ctx.Err() == nil; n++ {
		begin := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begin) > service.MaxDelay {
			n = 0
		}
		c.s.Say("the launcher of %s ended (%v); it is started again in %s", c.name, err, policy.Next(n))
		select {
		case <-time.After(policy.Next(n)):
		case <-ctx.Done():
		}
	}
}

// once runs the launcher. The end of its standard input tells it to stop, and so does the end of this process.
func (c *child) once(ctx context.Context) error {
	u, err := c.unit()
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	cmd := exec.Command(u.argv[0], u.argv[1:]...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "LISTEN_") }), u.env...)
	env, files, err := supervise.Hand(c.sockets.open(u.listen, func(err error) { c.s.Say("%s: %v", c.name, err) }))
	if err != nil {
		return errors.Join(err, r.Close())
	}
	cmd.Env, cmd.ExtraFiles = append(cmd.Env, env...), files
	cmd.Stdin = r
	cmd.Stdout = c.s.Out(c.name)
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = time.Second // for what the program has left behind with its output
	apart(cmd)
	err = errors.Join(cmd.Start(), r.Close())
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	w.Close() //nolint:errcheck // nothing was written
	select {
	case err := <-ended:
		return err
	case <-time.After(u.within):
		_ = cmd.Process.Kill() // the next launcher ends what it leaves
		return <-ended
	}
}
