package source

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/MordragT/nuka/protocol"
)

const (
	userAgent    = "nuka"
	maxRedirects = 10
	// maxIndex bounds a registry's response about a package.
	maxIndex = 256 << 20
	// stall is how long a response may deliver no bytes.
	stall = 60 * time.Second
)

// errRefused marks errors that a retry cannot fix.
var errRefused = errors.New("refused")

// newHTTPClient returns a client that does not follow redirects into private networks:
// never from https to http, never to another scheme, never to a link-local address,
// and to a loopback or private address only from such an address.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		dialer := &net.Dialer{Timeout: 20 * time.Second, ControlContext: refuseLinkLocal}
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = dialer.DialContext
		t.ResponseHeaderTimeout = stall
		t.DisableCompression = true
		transport = t
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			from := via[len(via)-1].URL
			switch {
			case len(via) >= maxRedirects:
				return fmt.Errorf("%w: more than %d redirects", errRefused, maxRedirects)
			case to.URL.Scheme != "https" && to.URL.Scheme != "http":
				return fmt.Errorf("%w: redirect to scheme %q", errRefused, to.URL.Scheme)
			case from.Scheme == "https" && to.URL.Scheme == "http":
				return fmt.Errorf("%w: redirect from https to http", errRefused)
			case isLinkLocal(to.URL.Hostname()): // a name that resolves to one is refused when it is dialled
				return fmt.Errorf("%w: redirect to %s, a link-local address", errRefused, to.URL.Hostname())
			case isInside(to.URL.Hostname()) && !isInside(via[0].URL.Hostname()):
				return fmt.Errorf("%w: redirect to %s, an address inside", errRefused, to.URL.Hostname())
			}
			if to.URL.Host != via[0].URL.Host { // Go itself would keep the headers for another port and for subdomains
				to.Header.Del("Authorization")
			}
			return nil
		},
	}
}

// refuseLinkLocal refuses connections to link-local addresses, where clouds serve the secrets of their machines.
func refuseLinkLocal(_ context.Context, _, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err == nil && ap.Addr().Unmap().IsLinkLocalUnicast() {
		return fmt.Errorf("%w: %s is a link-local address", errRefused, ap.Addr())
	}
	return nil
}

func isLinkLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLinkLocalUnicast()
}

func isInside(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	addr = addr.Unmap()
	return err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified())
}

// A place is a resolved URL of an origin, with the request headers it needs.
type place struct {
	url    string
	header http.Header
}

// get returns the body of a small response, such as a registry's metadata of a package.
func (f *Fetcher) get(ctx context.Context, p place) ([]byte, error) {
	body, _, err := f.getFrom(ctx, p)
	return body, err
}

// getFrom does what get does, and also returns the final address, after redirects.
func (f *Fetcher) getFrom(ctx context.Context, p place) (body []byte, at *url.URL, err error) {
	p.header = addHeader(p.header, http.Header{"Accept-Encoding": {"gzip"}})
	return f.getBody(ctx, p, maxIndex, func(resp *http.Response) (io.Reader, error) {
		if encoding := resp.Header.Get("Content-Encoding"); encoding == "gzip" || encoding == "x-gzip" {
			return gzip.NewReader(resp.Body)
		}
		return resp.Body, nil
	})
}

// getFile returns the body of a small file. A compressed file stays compressed, whatever encoding the server declares.
func (f *Fetcher) getFile(ctx context.Context, p place) ([]byte, error) {
	return f.getLimited(ctx, p, maxIndex)
}

// getLimited does what getFile does, for a file of at most limit bytes.
func (f *Fetcher) getLimited(ctx context.Context, p place, limit int64) ([]byte, error) {
	body, _, err := f.getBody(ctx, p, limit, func(resp *http.Response) (io.Reader, error) { return resp.Body, nil })
	return body, err
}

func (f *Fetcher) getBody(ctx context.Context, p place, limit int64, decode func(*http.Response) (io.Reader, error)) (body []byte, at *url.URL, err error) {
	err = f.retry(ctx, withoutUser(p.url), func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
		if err != nil {
			return fmt.Errorf("%w: %v", errRefused, shownError(err))
		}
		resp, err := f.sendWatched(req, p.header)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		at = resp.Request.URL
		plain, err := decode(resp)
		if err == nil {
			body, err = io.ReadAll(io.LimitReader(plain, limit+1))
		}
		if int64(len(body)) > limit {
			return fmt.Errorf("get %s: %w: the answer is larger than %d bytes", shown(req.URL), errRefused, limit)
		}
		if err != nil && ctx.Err() == nil {
			return protocol.Errorf(protocol.Unavailable, "get %s: after %d bytes: %v", shown(req.URL), len(body), err)
		}
		return err
	})
	return body, at, err
}

// retry calls try until it succeeds, fails permanently, or has failed too often.
func (f *Fetcher) retry(ctx context.Context, what string, try func() error) error {
	pause := f.o.Backoff
	for n := 0; ; n++ {
		err := try()
		var coded *protocol.Error
		if err == nil || ctx.Err() != nil || errors.Is(err, errRefused) ||
			errors.As(err, &coded) && coded.Code != protocol.Unavailable || n >= f.o.Retries {
			return err
		}
		f.log.Info("retry", "what", what, "error", err, "pause", pause)
		wait := pause
		var answer *httpError
		if errors.As(err, &answer) {
			wait = max(wait, answer.pause)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		pause *= 2
	}
}

// open sends a GET request for the bytes from offset on, on condition that the content still has the entity tag etag.
func (f *Fetcher) open(ctx context.Context, p place, offset int64, etag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errRefused, err)
	}
	req.Header.Set("Accept-Encoding", "identity") // a range counts the bytes that are hashed
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", etag)
	}
	return f.send(req, p.header)
}

// send sends a request and returns a successful response; other responses become errors.
func (f *Fetcher) send(req *http.Request, header http.Header) (*http.Response, error) {
	address := shown(req.URL)
	req.Header.Set("User-Agent", userAgent)
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := f.http.Do(req)
	if err != nil {
		if ctx := req.Context(); ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL twice
		}
		if errors.Is(err, errRefused) {
			return nil, fmt.Errorf("get %s: %w", address, err)
		}
		return nil, protocol.Errorf(protocol.Unavailable, "get %s: %v", address, err).
			WithHint("check the network and the registry setting, or try again later")
	}
	if code := resp.StatusCode; code == http.StatusOK || code == http.StatusPartialContent && req.Header.Get("Range") != "" {
		return resp, nil
	}
	resp.Body.Close()
	return nil, statusError(address, resp)
}

// shown formats an address for errors and logs, without a password.
func shown(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	plain := *u
	plain.User = nil
	return plain.String()
}

// shownText is shown for a text that may not be an address.
func shownText(address string) string {
	if u, err := url.Parse(address); err == nil {
		return shown(u)
	}
	return address
}

// statusError returns the error for a response's status.
func statusError(address string, resp *http.Response) error {
	said := func(code protocol.Code, hint string) error {
		return &httpError{err: protocol.Errorf(code, "get %s: %s", address, resp.Status).WithHint("%s", hint), status: resp.StatusCode, pause: retryAfter(resp)}
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return said(protocol.NotFound, "check the name and the version")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return said(protocol.Denied, "check the client's credentials for this registry")
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return said(protocol.Unavailable, "")
	}
	h := &httpError{err: fmt.Errorf("get %s: %w: %s", address, errRefused, resp.Status), status: resp.StatusCode, size: -1}
	if _, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &h.size); err != nil {
		h.size = -1
	}
	return h
}

// An httpError is an unexpected response.
type httpError struct {
	err    error
	status int
	pause  time.Duration // from Retry-After
	size   int64         // of 416: the content's size in bytes; -1: unknown
}

func (h *httpError) Error() string { return h.err.Error() }
func (h *httpError) Unwrap() error { return h.err }

// statusOf returns the HTTP status in an error, or 0.
func statusOf(err error) int {
	var h *httpError
	if errors.As(err, &h) {
		return h.status
	}
	return 0
}

// maxPause bounds how long a server may delay a retry.
const maxPause = 2 * time.Minute

// retryAfter returns the delay of the header Retry-After, in either of its forms.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxPause)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxPause)
	}
	return 0
}

// download downloads the bytes from the first place that has them into a file of r.Dir.
// If an upstream digest fixes the output, it is checked before the file is used.
func (f *Fetcher) download(ctx context.Context, places []place, r *Request) (*fetched, error) {
	var errs []error
	for _, p := range places {
		a, err := f.downloadOne(ctx, p, r)
		if err == nil || ctx.Err() != nil {
			return a, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Get returns the body of a file at an address, of at most limit bytes, by the rules of sources: it does not follow a redirect from https to http, to another scheme or
// into a private network. It is for files whose hash the caller knows, or that are signed.
func (f *Fetcher) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	return f.getLimited(ctx, place{url: address}, limit)
}
