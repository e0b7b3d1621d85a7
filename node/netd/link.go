package netd

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// The kinds of messages. A message is its kind, the number of its call (4 bytes, big endian), the length of its head (the same encoding),
// the head as JSON, and the body: bytes that would be longer in JSON.
const (
	kindCall   = 'c' // a request: Head.Method and Head.Args
	kindPart   = 'p' // news of a running call: Head.Args
	kindReply  = 'r' // the end of a call: Head.Args or Head.Error
	kindCancel = 'x' // the caller cancels the call
)

// headerSize is the number of bytes before the head of a message.
const headerSize = 9

// errBroken means that the other side ended before it answered.
var errBroken = errors.New("the other side has gone")

// A head is the part of a message in JSON: the method and arguments of a call, or its result or error.
type head struct {
	Method string          `json:"method,omitempty"`
	Args   json.RawMessage `json:"args,omitempty"`
	Error  *protocol.Error `json:"error,omitempty"`
	// Backward marks protocol.ErrBackward, the only error that the swarm tests for.
	Backward bool `json:"backward,omitempty"`
}

// A handler answers a call. It must not keep the arguments or the body after it returns.
type handler func(ctx context.Context, c *call) (result any, body []byte, err error)

// A call is a request of the other side.
type call struct {
	link *link
	id   uint32
	args json.RawMessage
	body []byte
}

// read decodes the arguments.
func (c *call) read(args any) error {
	if err := json.Unmarshal(c.args, args); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	return nil
}

// part sends news to the caller while the call runs.
func (c *call) part(news any) error { return c.link.send(kindPart, c.id, head{}, news, nil) }

// A link carries calls in both directions.
type link struct {
	conn     *wasmrt.Conn
	handlers map[string]handler
	slots    chan struct{} // bounds the running calls of the other side; nil means no bound
	// dead is closed when no further message can arrive.
	dead chan struct{}

	mu     sync.Mutex
	last   uint32
	asked  map[uint32]*pending           // our calls
	served map[uint32]context.CancelFunc // calls of the other side
	ended  bool
}

// A pending call waits for its reply.
type pending struct {
	news  chan json.RawMessage // the newest, which replaces news that the caller has not read yet
	reply chan answer          // one
}

type answer struct {
	head head
	body []byte
}

// newLink makes a link over conn. It answers at most atOnce calls of the other side at a time; 0 means no bound.
func newLink(conn *wasmrt.Conn, handlers map[string]handler, atOnce int) *link {
	l := &link{
		conn: conn, handlers: handlers, dead: make(chan struct{}),
		asked: map[uint32]*pending{}, served: map[uint32]context.CancelFunc{},
	}
	if atOnce > 0 {
		l.slots = make(chan struct{}, atOnce)
	}
	return l
}

// run reads messages until the link ends, and returns when all calls of the other side have ended. Then it calls before, if that is not nil,
// and after that ends the calls of this side. So before can free what these calls hold before their callers make them again.
func (l *link) run(ctx context.Context, before func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var serving sync.WaitGroup
	var err error
	for err == nil {
		var message []byte
		if message, err = l.conn.Recv(); err == nil {
			err = l.take(ctx, message, &serving)
		}
	}
	cancel()
	close(l.dead)
	serving.Wait()
	if before != nil {
		before()
	}
	l.mu.Lock()
	l.ended = true
	for id, p := range l.asked {
		delete(l.asked, id)
		close(p.reply)
	}
	l.mu.Unlock()
	return err
}

// take handles one message.
func (l *link) take(ctx context.Context, message []byte, serving *sync.WaitGroup) error {
	if len(message) < headerSize {
		return fmt.Errorf("a message of %d bytes", len(message))
	}
	kind, id, size := message[0], binary.BigEndian.Uint32(message[1:]), binary.BigEndian.Uint32(message[5:])
	if int64(size) > int64(len(message)-headerSize) {
		return errors.New("a message that is shorter than its head")
	}
	var h head
	if err := json.Unmarshal(message[headerSize:headerSize+size], &h); err != nil {
		return fmt.Errorf("the head of a message: %w", err)
	}
	body := message[headerSize+size:]
	switch kind {
	case kindCall:
		return l.serve(ctx, &call{l, id, h.Args, body}, h.Method, serving)
	case kindCancel:
		l.mu.Lock()
		defer l.mu.Unlock()
		if cancel := l.served[id]; cancel != nil {
			cancel()
		}
	case kindPart, kindReply:
		l.mu.Lock()
		p := l.asked[id]
		if kind == kindReply {
			delete(l.asked, id)
		}
		l.mu.Unlock()
		switch {
		case p == nil: // the caller no longer waits
		case kind == kindReply:
			p.reply <- answer{h, body}
		default:
			select {
			case <-p.news:
			default:
			}
			p.news <- h.Args // only this goroutine sends, so there is room
		}
	default:
		return fmt.Errorf("a message of an unknown kind %q", kind)
	}
	return nil
}

// serve begins to answer a call. It waits while too many calls run.
func (l *link) serve(ctx context.Context, c *call, method string, serving *sync.WaitGroup) error {
	answer := l.handlers[method]
	if answer == nil {
		return fmt.Errorf("a call of an unknown method %.40q", method)
	}
	if l.slots != nil {
		l.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	again := l.served[c.id] != nil
	l.served[c.id] = cancel
	l.mu.Unlock()
	if again {
		cancel()
		return fmt.Errorf("two calls with the number %d", c.id)
	}
	serving.Go(func() {
		result, body, err := answer(ctx, c)
		cancel()
		l.mu.Lock()
		delete(l.served, c.id)
		l.mu.Unlock()
		if l.slots != nil {
			<-l.slots
		}
		var h head
		if err != nil {
			h.Error, h.Backward = protocol.AsError(err), errors.Is(err, protocol.ErrBackward)
			result, body = nil, nil
		}
		if err := l.send(kindReply, c.id, h, result, body); err != nil && result != nil {
			// If the result cannot be sent, the caller gets an error, so that it does not wait for ever.
			_ = l.send(kindReply, c.id, head{Error: protocol.AsError(err)}, nil, nil)
		}
	})
	return nil
}

// call makes a call and waits for its end. When ctx ends, call sends a cancellation and still waits, so that the other side has freed
// everything that the call held when call returns. part, which may be nil, receives news until then, though not all of it.
// If the other side has ended, the error is errBroken.
func (l *link) call(ctx context.Context, method string, args, result any, body []byte, part func(json.RawMessage)) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &pending{news: make(chan json.RawMessage, 1), reply: make(chan answer, 1)}
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil, errBroken
	}
	id := l.nextNumber()
	l.asked[id] = p
	l.mu.Unlock()
	if err := l.send(kindCall, id, head{Method: method}, args, body); err != nil {
		l.mu.Lock()
		delete(l.asked, id)
		l.mu.Unlock()
		select {
		case <-l.dead:
			return nil, errBroken
		default:
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = l.send(kindCancel, id, head{}, nil, nil) })
	defer stop()
	a, ok := p.wait(part)
	switch {
	case !ok && ctx.Err() != nil:
		return nil, ctx.Err()
	case !ok:
		return nil, errBroken
	case a.head.Backward:
		return nil, fmt.Errorf("%w: %w", protocol.ErrBackward, a.head.Error)
	case a.head.Error != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case a.head.Error != nil:
		return nil, a.head.Error
	}
	if result != nil && a.head.Args != nil {
		if err := json.Unmarshal(a.head.Args, result); err != nil {
			return nil, fmt.Errorf("%s: result: %w", method, err)
		}
	}
	return a.body, nil
}

// number returns a number for a call that needs no reply.
func (l *link) number() uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextNumber()
}

// nextNumber returns a number that no waiting call of this side uses. The caller holds mu.
func (l *link) nextNumber() uint32 {
	for {
		if l.last++; l.asked[l.last] == nil {
			return l.last
		}
	}
}

// wait waits for the reply. It returns false if there will be none.
func (p *pending) wait(part func(json.RawMessage)) (answer, bool) {
	for {
		select {
		case a, ok := <-p.reply:
			return a, ok
		case news := <-p.news:
			if part != nil {
				part(news)
			}
		}
	}
}

// send sends one message.
func (l *link) send(kind byte, id uint32, h head, args any, body []byte) error {
	if args != nil {
		b, err := json.Marshal(args)
		if err != nil {
			return err
		}
		h.Args = b
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	message := make([]byte, headerSize, headerSize+len(b))
	message[0] = kind
	binary.BigEndian.PutUint32(message[1:], id)
	binary.BigEndian.PutUint32(message[5:], uint32(len(b)))
	return l.conn.Send(append(message, b...), body...)
}
