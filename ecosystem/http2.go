package ecosystem

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxStreams bounds the requests that run at once: those of one connection of HTTP/2, and those of all connections to a registry or of all through a proxy.
// Further ones wait.
const maxStreams = 128

// withHTTP2 returns a handler that changes to HTTP/2 when a client asks for it without encryption (RFC 7540, section 3.2), as cargo does: it asks for all crates at
// once over HTTP/2, and over two connections without. Go's server knows HTTP/2 from the first byte only, so what it is given reads as if the client had begun with it.
func withHTTP2(h http.Handler) http.Handler {
	h = limited(make(chan struct{}, maxStreams), h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := changes(r)
		if first == nil {
			h.ServeHTTP(w, r)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			h.ServeHTTP(w, r)
			return
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); err != nil {
			return
		}
		early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
		in := &begun{in: bufio.NewReader(io.MultiReader(early, conn)), first: first}
		s := newServer(r.Context(), h)
		s.Protocols = &http.Protocols{}
		s.Protocols.SetUnencryptedHTTP2(true)
		serveOne(s, &peeked{Conn: conn, r: bufio.NewReader(in)})
	})
}

// changes returns the request of a client that asks to change to HTTP/2 as a frame of HTTP/2, or nil. Requests with a body do not change, as it would have to be in memory;
// and requests to a proxy neither, as what the client goes on to ask need not be for the same host.
func changes(r *http.Request) []byte {
	if r.ProtoMajor != 1 || r.Method != http.MethodGet || r.URL.Host != "" || r.ContentLength != 0 || len(r.Header["Http2-Settings"]) != 1 ||
		!httpguts.HeaderValuesContainsToken(r.Header["Upgrade"], "h2c") || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "HTTP2-Settings") {
		return nil
	}
	if _, err := base64.RawURLEncoding.DecodeString(r.Header["Http2-Settings"][0]); err != nil { // the client sends them once more
		return nil
	}
	var block, frame bytes.Buffer
	e := hpack.NewEncoder(&block)
	field := func(name, value string) {
		_ = e.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true}) // into memory; and not into the table of fields, which the client does not know
	}
	field(":method", r.Method)
	field(":scheme", "http")
	field(":authority", r.Host)
	field(":path", r.URL.RequestURI())
	for name, values := range r.Header {
		switch name {
		case "Connection", "Upgrade", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding": // of HTTP/1.1 (RFC 9113, section 8.2.2)
			continue
		}
		for _, v := range values {
			field(strings.ToLower(name), v)
		}
	}
	if block.Len() > maxFrame {
		return nil
	}
	_ = http2.NewFramer(&frame, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) // into memory
	return frame.Bytes()
}

const (
	maxFrame    = 16 << 10 // bytes of a frame that each server takes (RFC 9113, section 4.2)
	frameHeader = 9
)

// begun reads what a client sends after it has changed to HTTP/2: the preface and its settings. Behind them it puts a frame, and then comes the rest.
type begun struct {
	in    *bufio.Reader
	first []byte
	out   io.Reader
}

func (b *begun) Read(p []byte) (int, error) {
	if b.out == nil {
		head, err := b.in.Peek(len(http2.ClientPreface) + frameHeader)
		if err != nil {
			return 0, err
		}
		size := head[len(http2.ClientPreface):]
		length := int64(size[0])<<16 | int64(size[1])<<8 | int64(size[2])
		b.out = io.MultiReader(io.LimitReader(b.in, int64(len(head))+length), bytes.NewReader(b.first), b.in)
	}
	return b.out.Read(p)
}

// limited returns a handler that runs as many requests at once as there are slots.
func limited(slots chan struct{}, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect { // it lasts as long as its connection, whose requests have slots of their own
			h.ServeHTTP(w, r)
			return
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// connections is a listener that knows the connections that are open. An http.Server forgets those that have changed to HTTP/2.
type connections struct {
	net.Listener
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (l *connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &counted{conn, l}
	l.mu.Lock()
	l.open[c] = true
	l.mu.Unlock()
	return c, nil
}

func (l *connections) closeAll() {
	l.mu.Lock()
	open := l.open
	l.open = map[net.Conn]bool{}
	l.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
}

// counted is a connection that its listener knows.
type counted struct {
	net.Conn
	of *connections
}

func (c *counted) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
