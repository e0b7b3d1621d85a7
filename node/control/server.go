package control

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

// An Actor is the caller of a call, with its rights.
type Actor struct {
	Key protocol.Key
	// Local means that the caller is the node's own user, who may make every call.
	Local bool
	// User is the number of the user of this machine who calls a system daemon; 0 if Local, or if a ticket gives the rights.
	User uint32
	// May lists the rights of any other caller, and Grant is the id of the ticket that gives them.
	May   []protocol.Right
	Grant string
}

// Here reports whether the caller is a user of the daemon's machine.
func (a *Actor) Here() bool { return a.Local || a.User != 0 }

// A Call is one request for the Handler.
type Call struct {
	Op   protocol.Op
	Args json.RawMessage
	// Conn ends when the caller's connection ends, which may carry several calls.
	Conn context.Context
	// Event sends an event to the caller. Several goroutines may call it.
	Event func(protocol.Event)
	// Data holds the bytes that the caller sends with the call.
	Data io.Reader
	// Reply sends bytes back to the caller.
	Reply io.Writer
}

// Handler is the set of operations that the server needs.
// ctx ends when the caller cancels the call or vanishes. The server sends the result as JSON.
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
	// Everyone means that each user of the machine may enrol keys, with RightUser, as for a system daemon.
	Everyone bool
	// Listen is an address, host:port, at which light peers of other machines attach with a grant; "" means none.
	Listen string
	// Grants are the rights of these light peers; nil grants nothing.
	Grants *Grants
	// Home is the folder of the node. If it no longer exists, the user has removed the node, and the server does not recreate a vanished socket.
	// "" means that the server always recreates the socket.
	Home string
	// Now is the clock by which grants expire; nil is time.Now.
	Now func() time.Time
	// Stall is how long a light peer of another machine may send and read nothing while its call waits for it; 0 means a minute.
	Stall time.Duration
	// Serve calls Ready when it accepts calls. Ready may be nil.
	Ready func()
	// Grace is how long running calls may continue after ctx has ended; 0 means not at all.
	Grace time.Duration
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// Serve accepts calls until ctx ends, and returns when everything that it started has ended.
// No call reaches the Handler afterwards.
func Serve(ctx context.Context, o *ServerOptions) error {
	s := &server{
		o: o, log: o.Log, byGrant: map[string]int{}, byUser: map[uint32]int{},
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
	door, err := openDoor(o.Dir, s.hello, o.Everyone)
	if err != nil {
		return err
	}

	// Calls may outlive ctx by the grace, and connections outlive calls.
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
	// Callers close their connections once they have received the last answers.
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
	open  context.Context // ends when this side closes the connections
	conns sync.WaitGroup

	mu      sync.Mutex
	closed  bool           // no further call may begin
	running sync.WaitGroup // calls; Add holds mu and looks at closed, so that Wait sees all of them

	byGrant map[string]int // connections by each grant; guarded by mu
	byUser  map[uint32]int // connections with an enrolled key of each user; guarded by mu

	strangers chan struct{} // a slot for each other connection
	attaching chan struct{} // a slot for each of these that has not shown its right yet
}

// begin notes that a call begins, which the caller ends with s.running.Done. It returns false if the server has closed.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	return true
}

// close makes the server refuse further calls. It returns a channel that is closed when the last call has ended.
func (s *server) close() <-chan struct{} {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
	return done
}

var errStopping = protocol.Errorf(protocol.Unavailable, "the daemon is stopping").WithHint("try again: the next command starts another")

// acceptConns accepts connections until the listener is closed. It also accepts the connections made before that, so that their callers get an
// answer.
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

// serveConn serves a connection until its end. If it refuses the connection, the error is the reason.
func (s *server) serveConn(conn *quic.Conn) error {
	stop := context.AfterFunc(s.open, func() { conn.CloseWithError(codeStopping, "the daemon is stopping") })
	defer stop()
	key, err := callerKey(conn)
	if err != nil {
		conn.CloseWithError(codeDenied, "this key is not enrolled")
		return err
	}
	c := &caller{key: key, reading: make(chan struct{}, maxReading)}
	if user, enrolled := s.o.Enrolled.User(key); enrolled && (s.o.Everyone || s.own(user)) {
		c.here, c.user = true, user
		defer s.countUser(user, -1)
		if s.countUser(user, +1) > maxEnrolled {
			conn.CloseWithError(codeBusy, "too many connections")
			return fmt.Errorf("too many connections of user %d", user)
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
		s.conns.Go(func() { s.serveStream(conn.Context(), stream, c) })
	}
}

const (
	codeDenied quic.ApplicationErrorCode = 1
	codeBusy   quic.ApplicationErrorCode = 2
	// codeStopping means that the daemon accepts no further call.
	codeStopping quic.ApplicationErrorCode = 3
)

func (s *server) serveStream(conn context.Context, stream *quic.Stream, c *caller) {
	defer stream.Close()
	defer stream.CancelRead(0)
	var end io.ReadWriter = stream
	if !c.here {
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
		defer s.running.Done() // after the answer is written
		// The stream's context ends when the caller cancels the call; the context of all calls ends when the daemon does.
		ctx, cancel := context.WithCancel(stream.Context())
		stop := context.AfterFunc(s.calls, cancel)
		result, err = s.handle(ctx, actor, &Call{
			Op: req.Op, Args: req.Args,
			Event: func(e protocol.Event) { _ = out.writeJSON(frameEvent, e) }, // if the caller has gone, ctx ends
			Conn:  conn,
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

// handle calls the Handler and recovers from a panic, so that a fault in one call does not end the daemon.
func (s *server) handle(ctx context.Context, actor Actor, call *Call) (result any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("fault", "op", call.Op, "panic", r, "stack", string(debug.Stack()))
			err = protocol.Errorf(protocol.Internal, "%s: a fault in the daemon: %v", call.Op, r).WithHint("its log has the details")
		}
	}()
	return s.o.Handler.Handle(ctx, actor, call)
}
