package ecosystem

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/bounded"
)

const (
	maxRedirects = 5
	stallBytes   = 1 << 10 // that must arrive within Limits.Stall
)

var (
	errStalled  = errors.New("the registry sends nothing any more")
	errTooLarge = errors.New("the answer is larger than allowed")
)

// get asks a registry, and follows redirects. The caller closes the body of the response, which ends when the registry stalls.
// Credentials go to the host of the registry only. A plain request asks for bytes as they are, and not compressed.
func (rec *Recorder) get(ctx context.Context, q Request, ask string, from http.Header, plain bool) (*http.Response, *failure) {
	at, up, ok := rec.at.address(q)
	if !ok {
		return nil, failf(http.StatusNotFound, "%s: no registry has this alias, and no index of this session named a host for it", q)
	}
	first := origin(at)
	login := rec.login(up, first, from.Get("Authorization"))
	for hop := 0; ; hop++ {
		h := http.Header{"Accept": {cmp.Or(ask, "*/*")}, "User-Agent": {cmp.Or(from.Get("User-Agent"), "nuka")}, "Accept-Encoding": {"gzip"}}
		if plain {
			h.Set("Accept-Encoding", "identity")
		}
		if origin(at) == first {
			for name, values := range login {
				h[name] = values
			}
		}
		res, fail := rec.once(ctx, q, at, h)
		if fail != nil {
			return nil, fail
		}
		switch res.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return res, nil
		}
		next, err := at.Parse(res.Header.Get("Location"))
		res.Body.Close()
		switch {
		case err != nil || res.Header.Get("Location") == "":
			return nil, failf(http.StatusBadGateway, "%s: the registry redirects to no address", q)
		case hop == maxRedirects:
			return nil, failf(http.StatusBadGateway, "%s: the registry redirects more than %d times", q, maxRedirects)
		case next.Scheme != "https" && (next.Scheme != "http" || at.Scheme != "http"):
			return nil, failf(http.StatusBadGateway, "%s: the registry redirects from %s to %.20s, which has no encryption", q, at.Scheme, next.Scheme)
		case rec.at.inward(next.Host, origin(next)):
			return nil, failf(http.StatusBadGateway, "%s: the registry redirects to %.200s, an address of this machine or its network", q, next.Host)
		}
		next.User = nil
		at = next
	}
}

// once asks at one address.
func (rec *Recorder) once(ctx context.Context, q Request, at *url.URL, h http.Header) (*http.Response, *failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	b := &body{ctx: ctx, cancel: cancel, stall: rec.o.Limits.Stall}
	b.timer = time.AfterFunc(b.stall, func() { cancel(errStalled) })
	req := (&http.Request{Method: http.MethodGet, URL: at, Host: at.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	res, err := rec.o.Transport.RoundTrip(req)
	b.timer.Stop()
	if err != nil {
		if errors.Is(context.Cause(ctx), errStalled) {
			err = errStalled
		}
		cancel(nil)
		return nil, unreadable(q, err)
	}
	b.ReadCloser, res.Body = res.Body, b
	if res.Request == nil { // of a transport in a test
		res.Request = req
	}
	return res, nil
}

// unreadable returns the failure for an answer that cannot be read.
func unreadable(q Request, err error) *failure {
	switch {
	case errors.Is(err, errStalled):
		return failf(http.StatusGatewayTimeout, "%s: the registry is too slow: %v", q, err)
	case errors.Is(err, errTooLarge):
		return failf(http.StatusBadGateway, "%s: %v", q, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failf(http.StatusBadGateway, "%s: the answer of the registry is cut off", q)
	}
	return failf(http.StatusBadGateway, "%s: the registry cannot be reached: %v", q, err)
}

// A body is that of a response. Reading it fails when too little arrives in too much time; the time between reads does not count.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	stall  time.Duration
	spent  time.Duration // in reads since stallBytes arrived
	got    int
}

func (b *body) Read(p []byte) (int, error) {
	start := time.Now()
	b.timer.Reset(b.stall - b.spent)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	b.spent += time.Since(start)
	if b.got += n; b.got >= stallBytes {
		b.got, b.spent = 0, 0
	}
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errStalled
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}

// login returns the headers with which a registry is asked: those of the configuration, else what the client sent. A client that sends one password to
// several hosts does not know them apart, since all are the proxy for it: it goes only to the host that it went to first.
func (rec *Recorder) login(up *Upstream, host, fromClient string) http.Header {
	same := up
	if same == nil {
		same = rec.at.upstreamAt(host)
	}
	if same != nil && len(same.Header) > 0 {
		return same.Header
	}
	if fromClient == "" || up == nil && rec.o.Door == DoorRegistry {
		return nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if first, there := rec.logins[fromClient]; there && first != host {
		return nil
	}
	rec.logins[fromClient] = host
	return http.Header{"Authorization": {fromClient}}
}

// whole reads an answer that is not passed on as it comes, at most limit bytes after it is unpacked.
func whole(res *http.Response, limit int64) ([]byte, error) {
	var r io.Reader = res.Body
	switch encoding := strings.ToLower(res.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		if res.ContentLength > limit {
			return nil, errTooLarge
		}
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(&bounded.Reader{R: res.Body, Left: limit, Over: errTooLarge})
		if err != nil {
			return nil, err
		}
		r = z
	default:
		return nil, fmt.Errorf("it is encoded as %.40q, which nobody asked for", encoding)
	}
	return io.ReadAll(&bounded.Reader{R: r, Left: limit, Over: errTooLarge})
}
