package control

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

// An Actor is who asks.
type Actor struct {
	Key protocol.Key
	// Local says that it is the node's own user, who may do everything.
	Local bool
	// May is what anybody else may do, and Grant the id of the ticket that says so.
	May   []protocol.Right
	Grant string
}

// A Call is one request on its way to the Handler.
type Call struct {
	Op   protocol.Op
	Args json.RawMessage
	// Event tells the caller how it goes. Several goroutines may call it.
	Event func(protocol.Event)
	// Data are the bytes that the caller sends along.
	Data io.Reader
	// Reply takes the bytes that the caller gets back.
	Reply io.Writer
}

// Handler is the set of operations that the server needs.
// ctx ends when the caller gives up. The result is sent as JSON.
type Handler interface {
	Handle(ctx context.Context, actor Actor, call *Call) (result any, err error)
}

// ServerOptions configures Serve. Dir, Key, Enrolled and Handler must be set.
type ServerOptions struct {
	// Dir is the folder for the socket and the address.
	Dir string
	// Key is the daemon's identity.
	Key ed25519.PrivateKey
	// Enrolled keeps the keys that may call.
	Enrolled *Enrolled
	Handler  Handler
	// Listen is an address, host:port, at which light peers of other machines attach by a grant; "" is none.
	Listen string
	// Grants are the rights that they may have; nil grants nothing.
	Grants *Grants
	// Home is a folder without which the socket is not made anew once it has vanished: it was removed with all that is in it.
	// "" is none.
	Home string
	// Now is the clock by which grants expire; nil is time.Now.
	Now func() time.Time
	// Stall is how long a light peer of another machine may send or take nothing while its call waits for it; 0 means a minute.
	Stall time.Duration
	// Ready is called when calls are accepted; nil is not.
	Ready func()
	// Grace is how long running calls may go on after ctx has ended; 0 means not at all.
	Grace time.Duration
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// Serve accepts calls until ctx ends, and returns when everything it started has ended.
// No call reaches the Handler afterwards.
func Serve(ctx context.Context, o *ServerOptions) error {
	s := &server{
		o: o, log: o.Log, byGrant: map[string]int{},
		strangers: make(chan struct{}, maxStrangers), attaching: make(chan struct{}, maxAttaching),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	id, err := identity(o.Key)
	if err != nil {
		return err
	}
	addresses := []string{"127.0.0.1:0"}
	if o.Listen != "" {
		addresses = append(addresses, o.Listen)
	}
	var listeners []*quic.Listener
	for _, address := range addresses {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return fmt.Errorf("listen for control: %w", err)
		}
		defer udp.Close()
		transport := &quic.Transport{Conn: udp}
		defer transport.Close()
		listener, err := transport.Listen(serverTLS(id), quicConfig)
		if err != nil {
			return fmt.Errorf("listen for control: %w", err)
		}
		defer listener.Close()
		listeners = append(listeners, listener)
	}
	s.hello = hello{Key: protocol.KeyOf(o.Key).String(), Address: listeners[0].Addr().String()}
	door, err := openDoor(o.Dir, s.hello)
	if err != nil {
		return err
	}

	// Calls outlive ctx by the grace, connections outlive calls.
	calls, cancelCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelCalls()
	var hangUp context.CancelFunc
	s.calls = calls
	s.open, hangUp = context.WithCancel(context.Background())
	defer hangUp()
	var accepting, keeping sync.WaitGroup
	acceptSocket := func(l net.Listener) { accepting.Go(func() { s.acceptSocket(l) }) }
	acceptSocket(door.listener)
	keeping.Go(func() { s.keepDoor(ctx, door, acceptSocket) })
	for _, listener := range listeners {
		accepting.Go(func() { s.acceptConns(listener) })
	}
	if o.Ready != nil {
		o.Ready()
	}
	<-ctx.Done()
	keeping.Wait()
	door.close()
	for _, listener := range listeners {
		listener.Close()
	}
	accepting.Wait()
	done := s.close()
	select {
	case <-done:
	case <-time.After(o.Grace):
		cancelCalls()
		<-done
	}
	// The last answers are on their way: callers hang up when they have them.
	hungUp := make(chan struct{})
	go func() { s.conns.Wait(); close(hungUp) }()
	select {
	case <-hungUp:
	case <-time.After(time.Second):
		hangUp()
		<-hungUp
	}
	return nil
}

type server struct {
	o     *ServerOptions
	log   *slog.Logger
	hello hello
	calls context.Context // of the calls
	open  context.Context // ends when connections are closed from this side
	conns sync.WaitGroup

	mu      sync.Mutex
	closed  bool           // no call begins any more
	running sync.WaitGroup // calls; Add holds mu and looks at closed, so that Wait sees all of them

	byGrant map[string]int // connections by each grant; guarded by mu

	enrolled  atomic.Int64  // connections of the user's own
	strangers chan struct{} // a slot for each connection of anybody else
	attaching chan struct{} // a slot for each of those that has not shown its right yet
}

// begin notes that a call begins, which must end with s.running.Done. It returns false when the server has closed.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// close refuses further calls. The channel is closed when the last one has ended.
func (s *server) close() <-chan struct{} {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	return done
}

var errStopping = protocol.Errorf(protocol.Unavailable, "the daemon is stopping").WithHint("try again: the next command starts another")

// acceptConns ends when the listener is closed, with all connections that were made before: their callers get an answer.
func (s *server) acceptConns(listener *quic.Listener) {
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return
		}
		s.conns.Go(func() {
			if err := s.serveConn(conn); err != nil {
				s.log.Warn("refused", "address", conn.RemoteAddr(), "error", err)
			}
		})
	}
}

// serveConn serves a connection to its end. The error says why it was refused.
func (s *server) serveConn(conn *quic.Conn) error {
	stop := context.AfterFunc(s.open, func() { conn.CloseWithError(codeStopping, "the daemon is stopping") })
	defer stop()
	key, err := callerKey(conn)
	if err != nil {
		conn.CloseWithError(codeDenied, "this key is not enrolled")
		return err
	}
	c := &caller{key: key, local: s.o.Enrolled.Has(key), reading: make(chan struct{}, maxReading)}
	if c.local {
		defer s.enrolled.Add(-1)
		if s.enrolled.Add(1) > maxEnrolled {
			conn.CloseWithError(codeBusy, "too many connections")
			return errors.New("too many connections of the user's own")
		}
	} else {
		leave, err := s.admitStranger(conn, c)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		defer leave()
	}
	for {
		stream, err := conn.AcceptStream(conn.Context())
		if err != nil {
			return nil
		}
		s.conns.Go(func() { s.serveStream(stream, c) })
	}
}

const (
	codeDenied quic.ApplicationErrorCode = 1
	codeBusy   quic.ApplicationErrorCode = 2
	// codeStopping: no call is taken any more.
	codeStopping quic.ApplicationErrorCode = 3
)

func (s *server) serveStream(stream *quic.Stream, c *caller) {
	defer stream.Close()
	defer stream.CancelRead(0)
	var end io.ReadWriter = stream
	if !c.local {
		end = &strangersEnd{stream, s.stall()}
	}
	in, out := bufio.NewReader(end), &frameWriter{w: end}
	req, err := c.readRequest(in, stream)
	if err != nil {
		err = protocol.Errorf(protocol.Invalid, "%w", err)
	}
	actor := s.actor(c)
	var result any
	if err == nil && !s.begin() {
		err = errStopping
	} else if err == nil {
		defer s.running.Done() // when the answer is written
		// The stream's context ends when the caller gives up, the calls' when the daemon does.
		ctx, cancel := context.WithCancel(stream.Context())
		stop := context.AfterFunc(s.calls, cancel)
		result, err = s.handle(ctx, actor, &Call{
			Op: req.Op, Args: req.Args,
			Event: func(e protocol.Event) { _ = out.writeJSON(frameEvent, e) }, // a caller that is gone is seen by ctx
			Data:  &dataReader{r: in},
			Reply: dataWriter{out},
		})
		stop()
		cancel()
	}
	if err != nil {
		s.log.Info("call", "op", req.Op, "error", err)
		err = out.writeJSON(frameError, protocol.AsError(err))
	} else {
		err = out.writeJSON(frameResult, result)
	}
	if err != nil && stream.Context().Err() == nil {
		s.log.Warn("answer", "op", req.Op, "error", err)
		stream.CancelWrite(0)
	}
}

// handle keeps a fault in one call from ending the daemon.
func (s *server) handle(ctx context.Context, actor Actor, call *Call) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("fault", "op", call.Op, "panic", r, "stack", string(debug.Stack()))
			err = protocol.Errorf(protocol.Internal, "%s: a fault in the daemon: %v", call.Op, r).WithHint("its log has the details")
		}
	}()
	return s.o.Handler.Handle(ctx, actor, call)
}
