package netd

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"log/slog"
	"testing"

	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/peers"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

var errNothing = errors.New("there is nothing")

// nothing is a system without content that accepts every block.
type nothing struct{}

func (nothing) Block(context.Context, cid.CID, routing.Requester) ([]byte, error) {
	return nil, errNothing
}
func (nothing) Statements(context.Context, []pir.PID, routing.Requester) ([][]byte, error) {
	return nil, nil
}
func (nothing) PIR(context.Context, pir.PID, routing.Requester) ([]byte, error) {
	return nil, errNothing
}
func (nothing) Heads(context.Context, []protocol.Key) ([][]byte, error)     { return nil, nil }
func (nothing) Published(context.Context, []protocol.Key) ([][]byte, error) { return nil, nil }
func (nothing) LearnPublished(context.Context, []byte) error                { return nil }
func (nothing) Learn(context.Context, []byte) error                         { return nil }
func (nothing) Receive(context.Context, cid.CID, int64) (fetch.Receiver, error) {
	return nothing{}, nil
}
func (nothing) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	return func(func(routing.Announcement, error) bool) {}
}
func (nothing) WantNodes() []cid.CID          { return nil }
func (nothing) WantLeaves() []cid.Leaf        { return make([]cid.Leaf, 3) }
func (nothing) Put(cid.Block) error           { return nil }
func (nothing) Progress() (done, total int64) { return 1, 2 }
func (nothing) Finish(context.Context) error  { return nil }
func (nothing) Close() error                  { return nil }

// frame makes the bytes of a message.
func frame(kind byte, id uint32, h head, body string) []byte {
	b, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	message := append([]byte{kind}, binary.BigEndian.AppendUint32(nil, id)...)
	message = binary.BigEndian.AppendUint32(message, uint32(len(b)))
	message = append(append(message, b...), body...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
}

// serveBytes answers the messages that a net daemon has written, until they end.
func serveBytes(t testing.TB, written []byte) error {
	s := &served{o: &swarm.Options{System: nothing{}, Options: peers.Options{Key: key(1)}}, log: slog.New(slog.DiscardHandler)}
	l := newLink(wasmrt.NewConn(bytes.NewReader(written), io.Discard), s.handlers(), callsAtOnce)
	err := l.run(t.Context(), s.close)
	if err == nil {
		t.Error("it ended without a reason")
	}
	return err
}

// No output of a net daemon makes the system daemon panic.
func FuzzLink(f *testing.F) {
	s := &served{o: &swarm.Options{System: nothing{}, Options: peers.Options{Key: key(1)}}}
	var all []byte
	id := uint32(0)
	for method := range s.handlers() {
		for _, args := range []string{`null`, `{}`, `{"ID":1,"From":-5}`, `{"ID":1,"From":2}`, `{"CID":"x"}`, `[]`} {
			id++
			call := frame(kindCall, id, head{Method: method, Args: json.RawMessage(args)}, "body")
			f.Add(call)
			all = append(all, call...)
		}
	}
	f.Add(all)
	for _, kind := range []byte{kindPart, kindReply, kindCancel, '?'} {
		f.Add(frame(kind, 1, head{}, ""))
	}
	f.Add([]byte{0, 0, 0, 9, kindCall, 0, 0, 0, 1, 255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, written []byte) { _ = serveBytes(t, written) })
}

// If a net daemon sends a malformed message, the link ends with an error, and the system daemon kills the net daemon.
func TestBadLink(t *testing.T) {
	good := frame(kindCall, 1, head{Method: callShared}, "")
	if err := serveBytes(t, good); !errors.Is(err, io.EOF) {
		t.Errorf("a good message: got %v", err)
	}
	for name, written := range map[string][]byte{
		"method": frame(kindCall, 1, head{Method: "nothing of the kind"}, ""),
		"begin":  frame(kindCall, 1, head{Method: callBegin}, ""),
		"kind":   frame('?', 1, head{}, ""),
		"head":   {0, 0, 0, 9, kindCall, 0, 0, 0, 1, 255, 255, 255, 255},
		"short":  {0, 0, 0, 1, kindCall},
		"json":   {0, 0, 0, 10, kindCall, 0, 0, 0, 1, 0, 0, 0, 1, '{'},
		"cut":    good[:len(good)-1],
	} {
		if err := serveBytes(t, append(written, good...)); err == nil || errors.Is(err, io.EOF) && name != "cut" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// When a link ends, the calls that wait for a reply fail.
func TestBroken(t *testing.T) {
	r, w := io.Pipe()
	l := newLink(wasmrt.NewConn(r, io.Discard), nil, 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.run(t.Context(), nil) //nolint:errcheck // it ends with the test
	}()
	done := make(chan error)
	go func() {
		_, err := l.call(t.Context(), callPing, nil, nil, nil, nil)
		done <- err
	}()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	<-ended
	if _, err := l.call(t.Context(), callPing, nil, nil, nil, nil); !errors.Is(err, errBroken) {
		t.Errorf("afterwards: got %v", err)
	}
}
