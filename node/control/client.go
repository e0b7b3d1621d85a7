package control

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

// The errors that callers test for.
var (
	// ErrNoDaemon means that no daemon runs in a folder.
	ErrNoDaemon = errors.New("no daemon is running")
	// ErrSilent means that a daemon runs there and does not answer.
	ErrSilent = errors.New("the daemon does not answer")
	// ErrElsewhere means that a daemon runs there, in a network that this process cannot reach.
	ErrElsewhere = errors.New("the daemon runs in another network namespace, or in a container")
)

// A Client is a light peer's connection to its daemon. Several goroutines may call at once.
type Client struct {
	conn      *quic.Conn
	transport *quic.Transport
	udp       net.PacketConn
	// Daemon is the key of the daemon.
	Daemon protocol.Key
}

// Dial connects to the daemon whose socket is in dir, and enrols key there.
// If none runs, the error is ErrNoDaemon. If one runs and cannot be reached, it is ErrSilent or ErrElsewhere.
func Dial(ctx context.Context, dir string, key ed25519.PrivateKey) (*Client, error) {
	h, err := askSocket(ctx, dir, protocol.KeyOf(key).String())
	if err != nil {
		return nil, err
	}
	server, err := protocol.ParseKey(h.Key)
	if err != nil {
		return nil, err
	}
	client, err := dialAt(ctx, h.Address, "127.0.0.1:0", server, key)
	if err == nil || ctx.Err() != nil {
		return client, err
	}
	// It answered at its socket a moment ago. If it still does, this process has no network route to it.
	switch asked := Ask(ctx, dir, protocol.OpStatus, nil); {
	case asked == nil:
		return nil, fmt.Errorf("%w: %w", ErrElsewhere, err)
	case errors.Is(asked, ErrNoDaemon): // it has ended meanwhile
		return nil, ErrNoDaemon
	}
	return nil, err
}

// Attach connects to the node of a ticket, which may be on another machine, with the right that the ticket carries.
func Attach(ctx context.Context, t *protocol.Ticket, key ed25519.PrivateKey) (*Client, error) {
	if len(t.Right) == 0 || t.Node.IsZero() || len(t.Addresses) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "this ticket is not one to attach to a node with").
			WithHint("ask the node's user for one: nuka daemon ticket")
	}
	var errs []error
	for _, a := range t.Addresses {
		address, err := udpAddress(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		each, cancel := context.WithTimeout(ctx, attachTimeout)
		c, err := dialAt(each, address, ":0", t.Node, key)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a, err))
			continue
		}
		if err := c.Call(ctx, protocol.OpAttach, protocol.AttachArgs{Right: t.Right}, nil, nil); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		return c, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, protocol.Errorf(protocol.Unavailable, "the node of the ticket does not answer: %w", errors.Join(errs...)).
		WithHint("its daemon must run, with the setting control in its config.nuon")
}

// dialAt connects to the daemon that has the key server.
func dialAt(ctx context.Context, to, from string, server protocol.Key, key ed25519.PrivateKey) (*Client, error) {
	id, err := identity(key)
	if err != nil {
		return nil, err
	}
	conf, err := clientTLS(id, server)
	if err != nil {
		return nil, err
	}
	address, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenPacket("udp", from)
	if err != nil {
		return nil, fmt.Errorf("connect to daemon: %w", err)
	}
	transport := &quic.Transport{Conn: udp}
	conn, err := transport.Dial(ctx, address, conf, quicConfig)
	if err != nil {
		transport.Close()
		udp.Close()
		return nil, fmt.Errorf("connect to daemon: %w", err)
	}
	return &Client{conn: conn, transport: transport, udp: udp, Daemon: server}, nil
}

// Takes reports whether the daemon still accepts calls: it may have begun to stop since the connection was made.
func (c *Client) Takes(ctx context.Context) bool {
	return c.Call(ctx, protocol.OpStatus, nil, nil, nil) == nil
}

// Close ends the connection and cancels its calls.
func (c *Client) Close() error {
	err := c.conn.CloseWithError(0, "")
	return errors.Join(err, c.transport.Close(), c.udp.Close())
}

// CallOptions are the optional parameters of a call; nil sets none.
type CallOptions struct {
	// Event receives the events of the call, in the goroutine of the caller.
	Event func(protocol.Event)
	// Data holds the bytes to send with the call.
	Data io.Reader
	// Reply receives the bytes that the daemon sends.
	Reply io.Writer
}

// Call makes one call and waits for its end.
// When ctx ends, Call cancels the call at the daemon and returns ctx's error.
// An error from the daemon is a *protocol.Error. result may be nil.
func (c *Client) Call(ctx context.Context, op protocol.Op, args, result any, o *CallOptions) error {
	if o == nil {
		o = &CallOptions{}
	}
	stream, err := c.conn.OpenStreamSync(ctx)
	if err != nil {
		return connErr(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() {
		stream.CancelRead(0)
		stream.CancelWrite(0)
	})
	defer stop()
	out := &frameWriter{w: stream}
	req := request{Op: op}
	if args != nil {
		if req.Args, err = json.Marshal(args); err != nil {
			return err
		}
	}
	if err := out.writeJSON(frameRequest, req); err != nil {
		return connErr(ctx, err)
	}
	sent := make(chan error, 1)
	go func() { sent <- sendData(stream, out, o.Data) }()
	err = readReply(bufio.NewReader(stream), result, o)
	if err != nil {
		stream.CancelWrite(0)
	}
	sendErr := <-sent
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var coded *protocol.Error
	if err == nil || errors.As(err, &coded) {
		return err // the daemon's error explains more than the error of sending
	}
	return connErr(ctx, errors.Join(err, sendErr))
}

func sendData(stream *quic.Stream, out *frameWriter, data io.Reader) error {
	if data != nil {
		if _, err := io.CopyBuffer(dataWriter{out}, struct{ io.Reader }{data}, make([]byte, dataSize)); err != nil {
			stream.CancelWrite(0)
			return err
		}
		if err := out.write(frameEnd, nil); err != nil {
			return err
		}
	}
	return stream.Close()
}

func readReply(in *bufio.Reader, result any, o *CallOptions) error {
	for {
		kind, payload, err := readFrame(in, protocol.MaxFrame)
		if err != nil {
			return err
		}
		switch kind {
		case frameEvent:
			var e protocol.Event
			if err := json.Unmarshal(payload, &e); err != nil {
				return fmt.Errorf("control: event: %w", err)
			}
			if o.Event != nil {
				o.Event(e)
			}
		case frameData:
			if o.Reply == nil {
				continue
			}
			if _, err := o.Reply.Write(payload); err != nil {
				return err
			}
		case frameError:
			e := &protocol.Error{}
			if err := json.Unmarshal(payload, e); err != nil {
				return fmt.Errorf("control: error: %w", err)
			}
			return e
		case frameResult:
			if result == nil {
				return nil
			}
			return json.Unmarshal(payload, result)
		default:
			return fmt.Errorf("control: unexpected frame %q", kind)
		}
	}
}

// connErr explains the end of a connection.
func connErr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var app *quic.ApplicationError
	if errors.As(err, &app) && app.ErrorCode == codeDenied {
		return protocol.Errorf(protocol.Denied, "the daemon refused: %s", app.ErrorMessage)
	}
	if errors.As(err, &app) && app.ErrorCode == codeStopping {
		return errStopping
	}
	return protocol.Errorf(protocol.Unavailable, "lost the daemon: %w", err).WithHint("see its log with: nuka daemon status")
}
