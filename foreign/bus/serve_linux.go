package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/protocol"
)

const (
	maxConnections = 128              // of one filter at once
	authTime       = 30 * time.Second // for the handshakes, as in the bus
	flushTime      = 2 * time.Second  // for the last messages to a program after the bus has ended the connection
	acceptPause    = 50 * time.Millisecond
)

// Serve filters the connections that listener accepts, and connects each to the bus at address, which is the text of DBUS_SESSION_BUS_ADDRESS.
// It returns when ctx ends, after it has closed the listener and all connections; its error is nil then.
// Log gets a line for each different refusal, and for each connection that ends by a fault; nil logs nothing.
// Errors: code Invalid or Denied if the address or the policy is wrong, Unavailable if the listener fails.
func Serve(ctx context.Context, listener *net.UnixListener, address string, policy *Policy, log *slog.Logger) error {
	defer listener.Close()
	socket, err := SocketOf(address)
	if err != nil {
		return err
	}
	if err := policy.Check(); err != nil {
		return err
	}
	f := &filter{socket: socket, policy: policy, refused: &refusals{log: log}, budget: &budget{}}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	var running sync.WaitGroup
	defer running.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		conn, err := listener.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return protocol.Errorf(protocol.Unavailable, "accept a connection of the program: %w", err)
		case err != nil: // too many open files, or the program has gone
			f.refused.fault("accept a D-Bus connection", err)
			time.Sleep(acceptPause)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			f.refused.fault("refused a D-Bus connection", fmt.Errorf("the program has %d already", maxConnections))
			_ = conn.Close()
			continue
		}
		running.Go(func() {
			defer func() { <-slots }()
			if err := f.connection(ctx, conn); err != nil && !isEnd(err) && ctx.Err() == nil {
				f.refused.fault("a D-Bus connection ends", err)
			}
		})
	}
}

// isEnd returns whether an error is the end of a connection by the program or the bus, which is no fault.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// A filter has what its connections share.
type filter struct {
	socket  string
	policy  *Policy
	refused *refusals
	budget  *budget
}

// connection serves one connection of the program until one side closes it, a fault ends it, or ctx ends.
func (f *filter) connection(ctx context.Context, conn *net.UnixConn) error {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if err := sameUser(conn); err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: authTime}
	up, err := dialer.DialContext(ctx, "unix", f.socket)
	if err != nil {
		return fmt.Errorf("connect to the bus: %w", err)
	}
	defer up.Close()
	stopBus := context.AfterFunc(ctx, func() { _ = up.Close() })
	defer stopBus()
	bus := &endpoint{conn: up.(*net.UnixConn), budget: f.budget}
	client := &endpoint{conn: conn, budget: f.budget}
	deadline := time.Now().Add(authTime)
	_, _ = conn.SetDeadline(deadline), up.SetDeadline(deadline)
	guid, err := dialAuth(up)
	if err != nil {
		return fmt.Errorf("authenticate to the bus: %w", err)
	}
	files, err := serveAuth(conn, guid, func() (bool, error) { return negotiateFiles(up) })
	if err != nil {
		return fmt.Errorf("authenticate the program: %w", err)
	}
	bus.files, client.files = files, files
	if _, err := io.WriteString(up, "BEGIN\r\n"); err != nil {
		return fmt.Errorf("authenticate to the bus: %w", err)
	}
	_, _ = conn.SetDeadline(time.Time{}), up.SetDeadline(time.Time{})
	return f.relay(ctx, client, bus)
}

// relay passes messages between a program and the bus until one of them ends. Messages to the program wait in a queue, so that a program that
// does not read delays no answer to the filter's own questions, and fills no memory of the bus.
func (f *filter) relay(ctx context.Context, client, bus *endpoint) error {
	q := newQueue()
	defer q.drain()
	s := newSession(f.policy, f.refused, q.push, bus.write)
	ended := make(chan error, 3)
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { ended <- s.loop(client, s.fromClient) })
	running.Go(func() { ended <- s.loop(bus, s.fromBus) })
	written := make(chan struct{})
	running.Go(func() {
		defer close(written)
		for m := q.pop(); m != nil; m = q.pop() {
			if err := client.write(m); err != nil {
				ended <- err
				return
			}
		}
	})
	err := <-ended
	q.close()
	select {
	case <-written:
	case <-time.After(flushTime):
	case <-ctx.Done():
	}
	s.end()
	_, _ = client.conn.Close(), bus.conn.Close()
	return err
}

// loop reads messages and decides about each.
func (s *session) loop(from *endpoint, decide func(*message) error) error {
	for {
		m, err := from.read()
		if err != nil {
			return err
		}
		if err := decide(m); err != nil {
			return err
		}
	}
}
