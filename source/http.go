package source

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

const (
	userAgent    = "nuka"
	maxRedirects = 10
	// maxIndex bounds what a registry may answer about a package.
	maxIndex = 256 << 20
	// stall is how long an answer may bring no byte.
	stall = 60 * time.Second
)

// errRefused marks what another try will not change.
var errRefused = errors.New("refused")

// newHTTPClient returns a client that follows redirects only where they cannot lead inside:
// never from https to http, never to another scheme, never to a link-local address,
// and to a loopback or private one only from such an address.
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
			case isLinkLocal(to.URL.Hostname()): // a name that leads there is refused when it is dialled
				return fmt.Errorf("%w: redirect to %s, a link-local address", errRefused, to.URL.Hostname())
			case isInside(to.URL.Hostname()) && !isInside(via[0].URL.Hostname()):
				return fmt.Errorf("%w: redirect to %s, an address inside", errRefused, to.URL.Hostname())
			}
			return nil
		},
	}
}

// refuseLinkLocal stops connections to link-local addresses, where clouds serve their machines' secrets.
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

// A place is a URL that an origin was resolved to, with the request headers it needs.
type place struct {
	url    string
	header http.Header
}

// get returns the body of a small answer, such as a registry's record of a package.
func (f *Fetcher) get(ctx context.Context, p place) ([]byte, error) {
	var body []byte
	err := f.retry(ctx, p.url, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
		if err != nil {
			return fmt.Errorf("%w: %v", errRefused, err)
		}
		resp, err := f.sendWatched(req, p.header)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxIndex+1))
		if len(body) > maxIndex {
			return fmt.Errorf("%w: answer is larger than %d bytes", errRefused, maxIndex)
		}
		if err != nil && ctx.Err() == nil {
			return protocol.Errorf(protocol.Unavailable, "get %s: after %d bytes: %v", shown(req.URL), len(body), err)
		}
		return err
	})
	return body, err
}

// retry calls try until it succeeds, fails for good, or has failed too often.
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

// open sends a GET that asks for the bytes from offset on, if the content is still the one tagged etag.
func (f *Fetcher) open(ctx context.Context, p place, offset int64, etag string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errRefused, err)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", etag)
	}
	return f.send(req, p.header)
}

// send sends a request and returns an answer that has what was asked for; other answers are errors.
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

// shown returns an address as errors and logs show it: without a password.
func shown(u *url.URL) string {
	if u.User == nil {
		return u.String()
	}
	plain := *u
	plain.User = nil
	return plain.String()
}

// shownText is shown of an address that may be none.
func shownText(address string) string {
	if u, err := url.Parse(address); err == nil {
		return shown(u)
	}
	return address
}

// statusError says what an answer's status means to the caller.
func statusError(address string, resp *http.Response) error {
	said := func(code protocol.Code, hint string) error {
		return &httpError{protocol.Errorf(code, "get %s: %s", address, resp.Status).WithHint("%s", hint), resp.StatusCode, retryAfter(resp)}
	}
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound, code == http.StatusGone:
		return said(protocol.NotFound, "check the name and the version")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return said(protocol.Denied, "check the client's credentials for this registry")
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= 500:
		return said(protocol.Unavailable, "")
	}
	return &httpError{fmt.Errorf("get %s: %w: %s", address, errRefused, resp.Status), resp.StatusCode, 0}
}

// An httpError is an answer that is none of those that were asked for.
type httpError struct {
	err    error
	status int
	pause  time.Duration // that the server asks for before the next try
}

func (h *httpError) Error() string { return h.err.Error() }
func (h *httpError) Unwrap() error { return h.err }

// statusOf returns the HTTP status that an error is about, or 0.
func statusOf(err error) int {
	var h *httpError
	if errors.As(err, &h) {
		return h.status
	}
	return 0
}

// maxPause bounds how long a server may let a fetch wait.
const maxPause = 2 * time.Minute

// retryAfter returns what the header Retry-After asks for, in either of its forms.
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

// download brings the bytes of the first place that has them into a file of r.Dir.
// The upstream digest, if that is what fixes the output, is checked before the file is handed on.
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

// A transfer is one download, which may take several connections.
type transfer struct {
	f        *Fetcher
	place    place
	want     pir.Hash // checked if it is of the archive
	file     *os.File
	tag      string // file with the entity tag of the bytes in file; "" resumes nothing from before
	progress func(done, total int64)

	done int64 // bytes in file
	etag string
	sum  hash.Hash // over the bytes in file; nil if not needed
}

// errWrongBytes is wrapped by the error about a whole download that has another hash.
var errWrongBytes = errors.New("the bytes are not those that are wanted")

// all transfers until the file is whole, and checks its hash.
func (d *transfer) all(ctx context.Context) error {
	if err := d.resume(); err != nil {
		return err
	}
	if err := d.f.retry(ctx, d.place.url, func() error { return d.run(ctx) }); err != nil {
		return err
	}
	return d.check()
}

// resume counts and hashes what an earlier transfer left in the file.
// Without the entity tag of that content the file is begun anew.
func (d *transfer) resume() error {
	d.sum = archiveHash(d.want)
	if etag, err := os.ReadFile(d.tag); d.tag != "" && err == nil && len(etag) > 0 {
		d.etag = string(etag)
		if d.sum != nil {
			d.done, err = io.Copy(d.sum, d.file)
		} else {
			d.done, err = d.file.Seek(0, io.SeekEnd)
		}
		return err
	}
	return d.restart()
}

func (d *transfer) restart() error {
	d.done, d.sum = 0, archiveHash(d.want)
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// run transfers over one connection, from where the last one ended.
func (d *transfer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	offset := d.done
	if d.etag == "" {
		offset = 0
	}
	resp, err := d.f.open(ctx, d.place, offset, d.etag)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent || offset == 0 {
		if err := d.restart(); err != nil {
			return err
		}
		if d.etag = resp.Header.Get("ETag"); len(d.etag) < 1 || d.etag[0] != '"' { // a weak tag does not do for ranges
			d.etag = ""
		}
		if d.tag != "" {
			if err := os.WriteFile(d.tag, []byte(d.etag), 0o600); err != nil {
				return err
			}
		}
	}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = d.done + resp.ContentLength
	}
	if limit := d.f.o.Limits.Download; total > limit {
		return protocol.Errorf(protocol.Exhausted, "get %s: %d bytes are more than the limit of %d", d.place.url, total, limit)
	}
	return d.copy(resp.Body, total, func() { cancel(errStalled) })
}

var errStalled = errors.New("no byte came for a minute")

func (d *transfer) copy(body io.Reader, total int64, abort func()) error {
	watchdog := time.AfterFunc(d.f.stall, abort)
	defer watchdog.Stop()
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		watchdog.Reset(d.f.stall)
		if n > 0 {
			if _, werr := d.file.Write(buf[:n]); werr != nil {
				return protocol.Errorf(protocol.Exhausted, "write download: %v", werr)
			}
			if d.sum != nil {
				d.sum.Write(buf[:n])
			}
			d.done += int64(n)
			d.progress(d.done, total)
			if d.done > d.f.o.Limits.Download {
				return protocol.Errorf(protocol.Exhausted, "get %s: more than the limit of %d bytes", d.place.url, d.f.o.Limits.Download)
			}
		}
		if err == io.EOF {
			if total > 0 && d.done != total {
				return protocol.Errorf(protocol.Unavailable, "get %s: connection closed after %d of %d bytes", d.place.url, d.done, total)
			}
			return nil
		}
		if err != nil {
			return protocol.Errorf(protocol.Unavailable, "get %s: after %d bytes: %v", d.place.url, d.done, err)
		}
	}
}

// check compares the digest of the bytes that were transferred.
func (d *transfer) check() error {
	if d.tag != "" {
		os.Remove(d.tag)
	}
	if d.sum == nil {
		return nil
	}
	if got := pir.NewHash(d.want.Algorithm, d.sum.Sum(nil)); got != d.want {
		return &wrongBytes{mismatch(d.want, got)}
	}
	return nil
}

// wrongBytes is a mismatch of a download, which must not be resumed.
type wrongBytes struct{ error }

func (w *wrongBytes) Unwrap() []error { return []error{w.error, errWrongBytes} }
