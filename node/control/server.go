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
	"os"
	"path/filepath"
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
	// May is what anybody else may do.
	May []protocol.Right
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
	// Now is the clock by which grants expire; nil is time.Now.
	Now func() time.Time
	// Ready is called when calls are accepted; nil is not.
	Ready func()
	// Grace is how long running calls may go on after ctx has ended; 0 means not at all.
	Grace time.Duration
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// Serve accepts calls until ctx ends, and returns when everything it started has ended.
func Serve(ctx context.Context, o *ServerOptions) error {
	s := &server{o: o, log: o.Log}
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
	var transports []*quic.Transport
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
		listeners, transports = append(listeners, listener), append(transports, transport)
	}
	s.hello = hello{Key: protocol.KeyOf(o.Key).String(), Address: listeners[0].Addr().String()}
	enrol, err := listenEnrol(o.Dir)
	if err != nil {
		return err
	}
	defer enrol.Close()
	if err := writeAddress(o.Dir, s.hello); err != nil {
		return err
	}

	// Calls outlive ctx by the grace, connections outlive calls.
	calls, cancelCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelCalls()
	s.calls = calls
	var accepting sync.WaitGroup
	accepting.Go(func() { s.acceptEnrol(enrol) })
	for _, listener := range listeners {
		accepting.Go(func() { s.acceptConns(ctx, listener) })
	}
	if o.Ready != nil {
		o.Ready()
	}
	<-ctx.Done()
	os.Remove(filepath.Join(o.Dir, addressName)) // before the socket goes, which is what others wait for
	enrol.Close()
	for _, listener := range listeners {
		listener.Close()
	}
	accepting.Wait()
	done := make(chan struct{})
	go func() { s.running.Wait(); close(done) }()
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
		for _, transport := range transports {
			transport.Close()
		}
		<-hungUp
	}
	return nil
}

type server struct {
	o       *ServerOptions
	log     *slog.Logger
	hello   hello
	calls   context.Context
	running sync.WaitGroup // calls
	conns   sync.WaitGroup
	open    atomic.Int64 // connections
}

// maxConns is how many light peers may be connected at once.
const maxConns = 1000

func (s *server) acceptConns(ctx context.Context, listener *quic.Listener) {
	for {
		conn, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		if s.open.Add(1) > maxConns {
			s.open.Add(-1)
			conn.CloseWithError(codeBusy, "too many connections")
			continue
		}
		s.conns.Go(func() {
			defer s.open.Add(-1)
			s.serveConn(conn)
		})
	}
}

func (s *server) serveConn(conn *quic.Conn) {
	key, err := callerKey(conn)
	local := err == nil && s.o.Enrolled.Has(key)
	if err != nil || !local && s.o.Grants == nil {
		s.log.Warn("refused", "key", key, "error", err)
		conn.CloseWithError(codeDenied, "this key is not enrolled")
		return
	}
	c := &caller{key: key, local: local}
	if !local { // it has a moment to show its right
		ctx, cancel := context.WithTimeout(conn.Context(), attachTimeout)
		err := s.attach(ctx, conn, c)
		cancel()
		if err != nil {
			s.log.Warn("refused", "key", key, "error", err)
			conn.CloseWithError(codeDenied, "it has shown no right")
			return
		}
	}
	for {
		stream, err := conn.AcceptStream(conn.Context())
		if err != nil {
			return
		}
		s.running.Go(func() { s.serveStream(conn, stream, s.actor(c)) })
	}
}

// attachTimeout is how long a light peer of another machine may take to show its right.
const attachTimeout = 10 * time.Second

// A caller is the other end of a connection.
type caller struct {
	key   protocol.Key
	local bool
	grant string // the id of what it has shown
}

// actor is who calls now: a grant may have been taken back since the connection was made.
func (s *server) actor(c *caller) Actor {
	return Actor{Key: c.key, Local: c.local, May: s.o.Grants.may(c.grant, s.now())}
}

func (s *server) now() time.Time {
	if s.o.Now != nil {
		return s.o.Now()
	}
	return time.Now()
}

// attach reads the first call of a connection, which shows a bearer secret.
func (s *server) attach(ctx context.Context, conn *quic.Conn, c *caller) error {
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer stream.CancelRead(0)
	if deadline, ok := ctx.Deadline(); ok {
		_ = stream.SetReadDeadline(deadline)
	}
	kind, payload, err := readFrame(bufio.NewReader(io.LimitReader(stream, 64<<10)))
	var req request
	var args protocol.AttachArgs
	if err == nil {
		err = json.Unmarshal(payload, &req)
	}
	if err == nil {
		err = json.Unmarshal(req.Args, &args)
	}
	out := &frameWriter{w: stream}
	c.grant = grantID(args.Right)
	if err != nil || kind != frameRequest || req.Op != protocol.OpAttach || len(s.o.Grants.may(c.grant, s.now())) == 0 {
		refusal := protocol.Errorf(protocol.Denied, "this node does not know the right that was shown").
			WithHint("it may have expired or been taken back: ask the node's user for another ticket")
		return errors.Join(refusal, err, out.writeJSON(frameError, refusal), lastWord(conn, stream))
	}
	return out.writeJSON(frameResult, nil)
}

// lastWord gives the other end the time to read an answer before the connection is closed.
func lastWord(conn *quic.Conn, stream *quic.Stream) error {
	err := stream.Close()
	select {
	case <-conn.Context().Done():
	case <-time.After(time.Second):
	}
	return err
}

const (
	codeDenied quic.ApplicationErrorCode = 1
	codeBusy   quic.ApplicationErrorCode = 2
)

func (s *server) serveStream(conn *quic.Conn, stream *quic.Stream, actor Actor) {
	defer stream.Close()
	defer stream.CancelRead(0)
	in, out := bufio.NewReader(stream), &frameWriter{w: stream}
	kind, payload, err := readFrame(in)
	var req request
	if err == nil && kind != frameRequest {
		err = errors.New("control: a stream must begin with a request")
	}
	if err == nil {
		err = json.Unmarshal(payload, &req)
	}
	var result any
	if err == nil {
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
	} else {
		err = protocol.Errorf(protocol.Invalid, "%v", err)
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
