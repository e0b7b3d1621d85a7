package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// A Proxy connects a program to the hosts that it may reach (RFC 9110, section 9.3.6: CONNECT; section 7.6: forwarded requests).
type Proxy struct {
	// Allow holds HOST:PORT. A host "*.example.com" stands for each name below example.com, and not for example.com itself.
	Allow []string
	// Log tells what was refused; nil discards it.
	Log *slog.Logger

	lookup func(ctx context.Context, host string) ([]netip.Addr, error) // of tests; nil is the resolver of this machine
}

const (
	dialTime  = 30 * time.Second
	idleTime  = 10 * time.Minute
	maxHeader = 64 << 10
	// maxConnections bounds what a program can hold open here at once.
	maxConnections = 256
)

// Serve answers the connections of a listener until ctx is done, and closes the listener. All connections have ended when it returns.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &http.Server{
		Handler: p, ReadHeaderTimeout: dialTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.Serve(netutil.LimitListener(l, maxConnections)); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		p.connect(w, r)
		return
	}
	p.forward(w, r)
}

// connect joins the client with a host.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	out, err := p.dial(r.Context(), r.Host)
	if err != nil {
		p.refuse(w, r.Host, err)
		return
	}
	defer out.Close()
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		p.refuse(w, r.Host, err)
		return
	}
	defer in.Close()
	stop := context.AfterFunc(r.Context(), func() { in.Close(); out.Close() })
	defer stop()
	if _, err := in.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(out, io.MultiReader(io.LimitReader(buffered, int64(buffered.Reader.Buffered())), in)) })
	both.Go(func() { pass(in, out) })
	both.Wait()
}

// pass copies until the source ends, and then ends the destination's input.
func pass(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok {
		to.Close()
		return
	}
	_ = half.CloseWrite()
}

// hop are the headers that concern one connection only (RFC 9110, section 7.6.1).
var hop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// forward passes a request for an address on, as HTTP_PROXY asks for it.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	if r.URL.Scheme != "http" || r.URL.Host == "" {
		http.Error(w, "this is a proxy: it takes CONNECT, and requests with the whole address of http", http.StatusBadRequest)
		return
	}
	address := r.URL.Host
	if r.URL.Port() == "" {
		address = net.JoinHostPort(r.URL.Hostname(), "80")
	}
	out := r.Clone(r.Context())
	out.RequestURI = ""
	drop(out.Header)
	var denied error
	transport := &http.Transport{
		Proxy: nil, DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := p.dial(ctx, address)
			denied = err
			return conn, err
		},
	}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(out)
	if err != nil {
		if denied != nil {
			err = denied
		}
		p.refuse(w, address, err)
		return
	}
	defer answer.Body.Close()
	drop(answer.Header)
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

func drop(h http.Header) {
	for _, field := range h.Values("Connection") {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hop {
		h.Del(name)
	}
}

// errDenied says that a program may not reach a host.
var errDenied = errors.New("the program has no permission for it")

func (p *Proxy) refuse(w http.ResponseWriter, address string, err error) {
	status := http.StatusBadGateway
	if errors.Is(err, errDenied) {
		status = http.StatusForbidden
	}
	if p.Log != nil {
		p.Log.Warn("refused a connection", "to", address, "error", err)
	}
	http.Error(w, fmt.Sprintf("nuka: %s: %v", address, err), status)
}

// allowed reports whether an address is allowed, and whether it is by its own name: then it may be an address of this machine or its network.
func (p *Proxy) allowed(host, port string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, a := range p.Allow {
		want, wantPort, err := net.SplitHostPort(a)
		if err != nil || wantPort != port {
			continue
		}
		want = strings.ToLower(want)
		if suffix, below := strings.CutPrefix(want, "*"); below && strings.HasSuffix(host, suffix) && len(host) > len(suffix) || want == host {
			return true
		}
	}
	return false
}

// dial connects to an allowed address. A name that leads to this machine or to its private network is refused: whoever controls a name could otherwise lead the program
// to services that trust their own machine. Such an address must be allowed as it is.
func (p *Proxy) dial(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if !p.allowed(host, port) {
		return nil, errDenied
	}
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	var dialer net.Dialer
	if ip, err := netip.ParseAddr(host); err == nil {
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), port))
	}
	if host == "localhost" {
		return dialer.DialContext(ctx, "tcp", net.JoinHostPort("localhost", port))
	}
	lookup := p.lookup
	if lookup == nil {
		lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	failed := errDenied
	for _, ip := range addrs {
		if !global(ip) {
			failed = fmt.Errorf("%s leads to %s, an address of this machine or its own network: %w", host, ip, errDenied)
			continue
		}
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, failed
}

// shared is the address space between a provider and its customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func global(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !shared.Contains(ip)
}
