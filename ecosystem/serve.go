package ecosystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/net/netutil"

	"github.com/MordragT/nuka/pir"
)

const (
	headerTime = 30 * time.Second
	idleTime   = 2 * time.Minute
	writeTime  = 10 * time.Minute // for a client that reads nothing, such as one that compiles meanwhile
	maxHeader  = 64 << 10
	// maxConnections bounds what clients can hold open at once. Further ones wait until one is closed.
	maxConnections = 256
)

// Serve answers the connections of a listener by h until ctx is done, and closes the listener. It speaks HTTP/1.1, and HTTP/2 with clients that ask for it (see
// withHTTP2). All connections are closed when it returns.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newServer(ctx, withHTTP2(h))
	open := &connections{Listener: netutil.LimitListener(l, maxConnections), open: map[net.Conn]bool{}}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	defer open.closeAll()
	if err := s.Serve(open); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
}

// A Handler answers the requests of clients: a Recorder or a Replayer.
type Handler interface {
	http.Handler // for DoorRegistry
	// Answer answers a request that has passed Check.
	Answer(w http.ResponseWriter, r *http.Request, q Request)
	// Locate returns the request for an address of another host, for DoorProxy.
	Locate(r *http.Request, origin string) (Request, error)
	// Refused notes a connection that the proxy refused.
	Refused(host, why string)
}

// registryRequest returns the request of a client to the proxy as a registry: /ALIAS/PATH.
func registryRequest(r *http.Request) (Request, error) {
	alias, path, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	path, err := CanonicalPath("/" + path)
	if err != nil {
		return Request{}, err
	}
	q := Request{Alias: alias, Path: path, Query: r.URL.RawQuery}
	return q, q.Check()
}

// answerRegistry has h answer a request of DoorRegistry, unless it is none.
func answerRegistry(h Handler, problems *problems, w http.ResponseWriter, r *http.Request) {
	q, err := registryRequest(r)
	if err != nil {
		problems.refuse("a request: %v", err)
		http.Error(w, "nuka: refused: "+err.Error(), http.StatusBadRequest)
		return
	}
	h.Answer(w, r, q)
}

// methodAllowed answers requests that would change a registry, and notes them.
func methodAllowed(w http.ResponseWriter, r *http.Request, q Request, problems *problems) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	problems.refuse("%s of %s: registries are only read", clip(r.Method), q.bare())
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "nuka: this proxy reads registries only: it refuses "+clip(r.Method), http.StatusMethodNotAllowed)
	return false
}

func clip(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	return strings.ToValidUTF8(s, "?")
}

// send answers a request with an answer of a recording. The same answer gives the same bytes and the same ETag on each machine.
func send(w http.ResponseWriter, r *http.Request, a *Answer, open func(pir.Hash) (io.ReadSeekCloser, error)) error {
	h := w.Header()
	if a.Kept != nil {
		f, err := open(a.Kept.Hash)
		if err != nil {
			http.Error(w, "nuka: the file is in no store: "+a.Request.String(), http.StatusBadGateway)
			return fmt.Errorf("%s: open %s: %w", a.Request, a.Kept.Hash, err)
		}
		defer f.Close()
		if size, err := f.Seek(0, io.SeekEnd); err != nil || size != a.Kept.Size {
			http.Error(w, "nuka: the file in the store is damaged: "+a.Request.String(), http.StatusBadGateway)
			return fmt.Errorf("%s: the file %s has %d bytes in the store, and %d in the recording (%v)", a.Request, a.Kept.Hash, size, a.Kept.Size, err)
		}
		if a.Type == "" {
			h.Set("Content-Type", "application/octet-stream")
		} else {
			h.Set("Content-Type", a.Type)
		}
		h.Set("ETag", `"`+strings.TrimPrefix(a.Kept.Hash.String(), "b3-")+`"`)
		http.ServeContent(w, r, "", time.Time{}, f)
		return nil
	}
	if a.Type != "" {
		h.Set("Content-Type", a.Type)
	} else {
		h["Content-Type"] = nil // not guessed
	}
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	if a.Status == http.StatusOK {
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag(a.Text))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader([]byte(a.Text)))
		return nil
	}
	h.Set("Content-Length", fmt.Sprint(len(a.Text)))
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, a.Text) // the client is gone
	}
	return nil
}

func etag(text string) string {
	sum := blake3.Sum256([]byte(text))
	return fmt.Sprintf(`"%x"`, sum[:16])
}

// patient writes to a client, and gives up after writeTime without progress. Each answer goes through it.
type patient struct{ http.ResponseWriter }

func (p *patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTime)) // the writer of a test has none
	return p.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
