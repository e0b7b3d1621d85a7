package serve

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A source is a Source in memory, which gives to private peers only what is secret.
type source struct {
	blocks map[cid.CID][]byte
	secret map[cid.CID]bool
	lines  [][]byte
	pirs   map[pir.PID][]byte

	mu    sync.Mutex
	asked []cid.CID // by Block
}

func (s *source) Block(_ context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	s.mu.Lock()
	s.asked = append(s.asked, c)
	s.mu.Unlock()
	b, ok := s.blocks[c]
	if !ok || s.secret[c] && !to.Private {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

// AppendBlock implements Appender, as a store does that does not compare.
func (s *source) AppendBlock(_ context.Context, c cid.CID, to routing.Requester, buf []byte) ([]byte, error) {
	b, ok := s.blocks[c]
	if !ok || s.secret[c] && !to.Private {
		return nil, fs.ErrNotExist
	}
	return append(buf, b...), nil
}

func (s *source) Statements(context.Context, []pir.PID, routing.Requester) ([][]byte, error) {
	return s.lines, nil
}

func (s *source) PIR(_ context.Context, id pir.PID, _ routing.Requester) ([]byte, error) {
	if b, ok := s.pirs[id]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (s *source) Published(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	return [][]byte{fmt.Append(nil, "published of ", len(keys))}, nil
}

func (s *source) Heads(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	return [][]byte{fmt.Append(nil, "head of ", len(keys))}, nil
}

// A client is the other end of one stream of a Server.
type client struct {
	*routingtest.Stream
	r    *bufio.Reader
	done chan error
}

// dial opens a stream to a handler. The test ends after it has.
func dial(t testing.TB, handler routing.Handler, p *routing.Peer, from routing.Requester) *client {
	t.Helper()
	here, there := routingtest.Streams()
	c := &client{Stream: here, r: bufio.NewReader(here), done: make(chan error, 1)}
	go func() {
		err := handler(context.Background(), there, p, from)
		there.Reset(0)
		c.done <- err
	}()
	t.Cleanup(func() { here.Reset(0) })
	return c
}

// ask sends a request in the background: the stream has no buffer.
func (c *client) ask(kind protocol.Ask, items ...[]byte) {
	go func() { _ = protocol.WriteAsk(c, kind, items) }()
}

// answers reads answers up to n of them, each as its encoding and its length.
func (c *client) answers(t testing.TB, n int) (list []string) {
	t.Helper()
	for range n {
		e, b, err := protocol.ReadAnswer(c.r, nil, protocol.MaxBlock)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(map[protocol.Encoding]string{protocol.End: "end", protocol.Plain: "plain", protocol.Zstd: "zstd", protocol.Missing: "missing"}[e], " ", len(b)))
	}
	return list
}

func server(t testing.TB, s *source, change func(*Options)) *Server {
	t.Helper()
	z, err := wire.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	o := &Options{Source: s, Codec: z, Jobs: func(cid.CID) *fetch.Job { return nil }, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(o)
	}
	return New(o)
}

func peer() *routing.Peer { return routing.NewBook().Peer(protocol.KeyOf(routingtest.Key(1))) }

// folder returns a folder of two files, one of which is secret, with its blocks.
func folder(t testing.TB) (s *source, root, open, secret cid.CID) {
	t.Helper()
	s = &source{blocks: map[cid.CID][]byte{}, secret: map[cid.CID]bool{}}
	leaf := func(text string) cid.CID {
		c := cid.Sum(cid.Raw, []byte(text))
		s.blocks[c] = []byte(text)
		return c
	}
	open, secret = leaf(strings.Repeat("open ", 2000)), leaf("secret")
	s.secret[secret] = true
	root, nodes, err := cid.Dir([]cid.DirEntry{{Name: "open", CID: open, Tsize: 10_000}, {Name: "secret", CID: secret, Tsize: 6}})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range nodes {
		s.blocks[b.CID] = b.Data
	}
	return s, root, open, secret
}

// What is not here and what is not for the requester look the same, under either codec.
func TestBlocks(t *testing.T) {
	s, root, open, secret := folder(t)
	nowhere := cid.Sum(cid.Raw, []byte("nowhere"))
	for name, test := range map[string]struct {
		private bool
		kind    protocol.Ask
		items   []cid.CID
		want    string
	}{
		"blocks":              {kind: protocol.AskBlocks, items: []cid.CID{open, secret, nowhere}, want: "plain 10000, missing 0, missing 0"},
		"for a private peer":  {private: true, kind: protocol.AskBlocks, items: []cid.CID{secret, nowhere}, want: "plain 6, missing 0"},
		"under another codec": {kind: protocol.AskBlocks, items: []cid.CID{otherCodec(open), otherCodec(secret)}, want: "plain 10000, missing 0"},
		"nodes":               {kind: protocol.AskNodes, items: []cid.CID{root, root}, want: fmt.Sprintf("plain %d, end 0, end 0", len(s.blocks[root]))},
		"a leaf's nodes":      {kind: protocol.AskNodes, items: []cid.CID{open, secret}, want: "end 0, missing 0, end 0"},
		"parts of no fetch":   {kind: protocol.AskParts, items: []cid.CID{root}, want: "missing 0"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, server(t, s, nil).Blocks, peer(), routing.Requester{Private: test.private})
			var items [][]byte
			for _, id := range test.items {
				items = append(items, id.Bytes())
			}
			c.ask(test.kind, items...)
			if got := strings.Join(c.answers(t, strings.Count(test.want, ",")+1), ", "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	// Compressed where that helps.
	c := dial(t, server(t, s, nil).Blocks, peer(), routing.Requester{Private: true})
	c.ask(protocol.AskSmall, open.Bytes(), secret.Bytes())
	if got := strings.Join(c.answers(t, 2), ", "); !strings.HasPrefix(got, "zstd ") || !strings.HasSuffix(got, ", plain 6") {
		t.Errorf("got %s", got)
	}
}

// A peer that resets with the code of wrong bytes has the Source compare what it was sent; a reset without it does not.
func TestDoubt(t *testing.T) {
	for code, want := range map[uint32]int{protocol.WrongBytes: 1, 0: 0} {
		s, _, open, _ := folder(t)
		c := dial(t, server(t, s, nil).Blocks, peer(), routing.Requester{})
		c.ask(protocol.AskBlocks, open.Bytes())
		c.answers(t, 1)
		c.Reset(code)
		<-c.done
		if len(s.asked) != want {
			t.Errorf("reset with %d: %d blocks were compared, want %d", code, len(s.asked), want)
		}
	}
}

// Lines are answered up to the bounds of an answer, and requests of another protocol end the stream.
func TestStatements(t *testing.T) {
	s := &source{}
	for i := range 3 * protocol.MaxStatements {
		s.lines = append(s.lines, fmt.Append(nil, "statement ", i))
	}
	srv := server(t, s, nil)
	c := dial(t, srv.Statements, peer(), routing.Requester{})
	c.ask(protocol.AskStatements, make([]byte, 32), make([]byte, 32))
	lines := 0
	for {
		e, b, err := protocol.ReadAnswer(c.r, nil, protocol.MaxLines)
		if err != nil {
			t.Fatal(err)
		}
		if e == protocol.End {
			break
		}
		if e == protocol.Zstd {
			if b, err = srv.o.Codec.Frame(b, protocol.MaxLines); err != nil {
				t.Fatal(err)
			}
		}
		lines += strings.Count(string(b), "\n")
	}
	if lines != 2*protocol.MaxStatements {
		t.Errorf("got %d lines, want %d", lines, 2*protocol.MaxStatements)
	}
	c.ask(protocol.AskHeads, make([]byte, 32))
	if got := strings.Join(c.answers(t, 2), ", "); got != "plain 10, end 0" {
		t.Errorf("heads: got %s", got)
	}
	c.ask(protocol.AskBlocks, make([]byte, 36))
	if err := <-c.done; err == nil {
		t.Error("a request of another protocol is answered")
	}
	c = dial(t, srv.Published, peer(), routing.Requester{})
	c.ask(protocol.AskPublished, make([]byte, 32))
	if got := strings.Join(c.answers(t, 2), ", "); got != "plain 15, end 0" {
		t.Errorf("published: got %s", got)
	}
	for _, items := range [][][]byte{slices.Repeat([][]byte{make([]byte, 32)}, protocol.MaxPublishedKeys+1), {}} {
		c = dial(t, srv.Published, peer(), routing.Requester{})
		kind := protocol.AskPublished
		if len(items) == 0 {
			kind = protocol.AskHeads
		}
		c.ask(kind, items...)
		if err := <-c.done; err == nil {
			t.Errorf("a request for %d signers of kind %d is answered", len(items), kind)
		}
	}
}

// PIRs that are more than one answer may have end it, and a peer that takes many waits for its share.
func TestPIRs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &source{pirs: map[pir.PID][]byte{}}
		var items [][]byte
		for n := range 3 {
			b := make([]byte, 3<<20)
			for i := range b {
				b[i] = byte(i*i>>(n+3)) ^ byte(i*7919>>11)
			}
			id := pir.Sum(b)
			s.pirs[id] = b
			items = append(items, id[:])
		}
		c := dial(t, server(t, s, nil).PIRs, peer(), routing.Requester{})
		c.ask(protocol.AskPIRs, append([][]byte{make([]byte, 32)}, items...)...)
		for i, want := range []protocol.Encoding{protocol.Missing, 0, 0, protocol.End} {
			e, _, err := protocol.ReadAnswer(c.r, nil, pir.MaxSize)
			if err != nil || want > 0 && e != want || i == 3 && e != protocol.End {
				t.Fatalf("answer %d: got %d, %v", i, e, err)
			}
		}
	})
}

// A peer gets as many answers in a second as it may, and all peers together as many bytes as the node sends.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, open, _ := folder(t)
		c := dial(t, server(t, &source{}, nil).Statements, peer(), routing.Requester{})
		many := make([][]byte, protocol.MaxAsked)
		for i := range many {
			many[i] = make([]byte, 32)
		}
		begin := time.Now()
		const requests = 24
		for range requests {
			c.ask(protocol.AskStatements, many...)
			c.answers(t, 1)
		}
		if d, least := time.Since(begin), time.Duration(requests*protocol.MaxAsked-routing.AskBurst)*time.Second/routing.AskRate; d < least || d > least+time.Second {
			t.Errorf("%d requests took %v, want %v", requests, d, least)
		}

		up := server(t, s, func(o *Options) { o.Up = rate.NewLimiter(10_000, 10_001) })
		c = dial(t, up.Blocks, peer(), routing.Requester{})
		begin = time.Now()
		for range 5 {
			c.ask(protocol.AskBlocks, open.Bytes())
			c.answers(t, 1)
		}
		if d := time.Since(begin); d < 4*time.Second || d > 5*time.Second {
			t.Errorf("50,000 bytes at 10,000 a second took %v", d)
		}
	})
}
