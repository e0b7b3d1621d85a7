package ecosystem_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem"
)

// echo is a Handler that answers with what it was asked.
type echo struct {
	mu      sync.Mutex
	refused []string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "registry %s", r.URL.Path)
}

func (e *echo) Answer(w http.ResponseWriter, _ *http.Request, q ecosystem.Request) { fmt.Fprint(w, q) }

func (e *echo) Locate(r *http.Request, at string) (ecosystem.Request, error) {
	if strings.Contains(at, "evil") {
		return ecosystem.Request{}, fmt.Errorf("%s is evil", at)
	}
	return ecosystem.Request{Alias: ecosystem.HostAlias(at), Path: r.URL.Path, Query: r.URL.RawQuery}, nil
}

func (e *echo) Refused(host, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refused = append(e.refused, host+": "+why)
}

// said waits until something was refused with these words.
func (e *echo) said(words string) bool {
	for range 200 {
		e.mu.Lock()
		found := strings.Contains(strings.Join(e.refused, "\n"), words)
		e.mu.Unlock()
		if found {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// proxyDoor starts a proxy and returns its address and the pool with its authority.
func proxyDoor(t *testing.T, h ecosystem.Handler) (string, *x509.CertPool) {
	t.Helper()
	authority, err := ecosystem.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority.PEM()) {
		t.Fatal("no certificate")
	}
	return serve(t, ecosystem.NewProxy(h, authority)), pool
}

func proxyClient(t *testing.T, address string, pool *x509.CertPool) *http.Client {
	at, err := url.Parse("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func text(t *testing.T, c *http.Client, address string) string {
	t.Helper()
	res, err := c.Get(address)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func TestProxyDoor(t *testing.T) {
	e := &echo{}
	address, pool := proxyDoor(t, e)
	c := proxyClient(t, address, pool)
	for _, at := range []string{"https://example.org", "https://files.example.org:8443", "https://192.0.2.1", "https://[2001:db8::1]", "http://plain.example.org"} {
		for range 2 { // the second one on the same connection
			if got, want := text(t, c, at+"/a/b?c=d"), ecosystem.HostAlias(at)+" /a/b?c=d"; got != want {
				t.Errorf("%s: got %q, want %q", at, got, want)
			}
		}
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := text(t, direct, "http://"+address+"/pypi/six/"); got != "registry /pypi/six/" {
		t.Errorf("without a proxy: got %q", got)
	}
	if got := text(t, c, "https://evil.example.org/"); !strings.Contains(got, "is evil") || !e.said("is evil") {
		t.Errorf("a host that is refused: got %q", got)
	}
	stranger := proxyClient(t, address, x509.NewCertPool())
	if got := text(t, stranger, "https://example.org/"); !strings.Contains(got, "unknown authority") {
		t.Errorf("a client that does not trust the authority: got %q", got)
	}
}

// TestProxyHTTP2 asks hosts over HTTP/2, as curl and Go do through a proxy. A connection goes on to be one to its host only.
func TestProxyHTTP2(t *testing.T) {
	e := &echo{}
	address, pool := proxyDoor(t, e)
	c := proxyClient(t, address, pool)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	res, err := c.Get("https://files.example.org/a?b")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 {
		t.Errorf("the proxy answers by %s", res.Proto)
	}
	if got, err := io.ReadAll(res.Body); err != nil || !strings.HasSuffix(string(got), " /a?b") {
		t.Errorf("got %q, %v", got, err)
	}
	r, err := http.NewRequest(http.MethodGet, "https://files.example.org/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "other.example.org"
	if res, err := c.Do(r); err != nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("another host on the connection: got %+v, %v", res, err)
	}
	if !e.said("another host on a connection") {
		t.Errorf("refused %q", e.refused)
	}
}

// connect asks for a connection and returns it after the proxy's answer.
func connect(t *testing.T, address, target string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	if err != nil {
		t.Fatal(err)
	}
	return conn, res
}

func TestProxyRefuses(t *testing.T) {
	e := &echo{}
	address, pool := proxyDoor(t, e)
	for _, target := range []string{"example.org", "example.org:", "example.org:x", "-:443", "exa..mple.org:443", "*.example.org:443", "a b:443", "example.org:443:443"} {
		if _, res := connect(t, address, strings.ReplaceAll(target, " ", "%20")); res.StatusCode != http.StatusBadRequest {
			t.Errorf("CONNECT %s: got %s", target, res.Status)
		}
	}
	conn, _ := connect(t, address, "example.org:22")
	fmt.Fprint(conn, "SSH-2.0-client\r\n")
	if n, err := conn.Read(make([]byte, 100)); n > 0 || err == nil || !e.said("does not speak TLS") {
		t.Errorf("SSH: got %d bytes, %v", n, err)
	}
	conn, _ = connect(t, address, "example.org:443")
	other := tls.Client(conn, &tls.Config{ServerName: "evil.example.com", RootCAs: pool})
	if err := other.HandshakeContext(t.Context()); err == nil || !e.said("then named") {
		t.Errorf("another name in TLS: got %v", err)
	}
	conn, _ = connect(t, address, "example.org:443")
	none := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test sends no name
	if err := none.HandshakeContext(t.Context()); err == nil {
		t.Error("no name in TLS: no error")
	}
	conn, _ = connect(t, address, "example.org:443")
	good := tls.Client(conn, &tls.Config{ServerName: "example.org", RootCAs: pool})
	if err := good.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{"example.org": http.StatusOK, "other.example.org": http.StatusMisdirectedRequest} {
		fmt.Fprintf(good, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		res, err := http.ReadResponse(bufio.NewReader(good), nil)
		if err != nil {
			t.Fatalf("Host: %s: %v", host, err)
		}
		_, _ = io.ReadAll(res.Body)
		if res.StatusCode != want {
			t.Errorf("Host: %s on a connection to example.org: got %s", host, res.Status)
		}
	}
	state := good.ConnectionState()
	if leaf := state.PeerCertificates[0]; time.Until(leaf.NotAfter) > 25*time.Hour || leaf.IsCA || len(leaf.DNSNames) != 1 {
		t.Errorf("the certificate is for %v until %v", leaf.DNSNames, leaf.NotAfter)
	}
	plain, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	fmt.Fprint(plain, "GET ftp://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(plain), nil); err != nil || res.StatusCode != http.StatusBadRequest {
		t.Errorf("ftp: got %v, %v", res, err)
	}
}

// TestManyConnections opens 10,000 connections, 2,000 at once, which send half a request. Not more than 256 are accepted at once, and afterwards an honest
// client is served.
func TestManyConnections(t *testing.T) {
	const turns, each, most = 5, 2_000, 256
	e := &echo{}
	l := &countingListener{Listener: listen(t)}
	address := serveAt(t, l, e)
	for range turns {
		var conns []net.Conn
		for range each {
			d := net.Dialer{Timeout: time.Second}
			conn, err := d.DialContext(t.Context(), "tcp", address)
			if err != nil {
				break // the queue of the kernel is full
			}
			fmt.Fprint(conn, "GET /a HTTP/1.1\r\n")
			conns = append(conns, conn)
		}
		if len(conns) <= most {
			t.Fatalf("%d connections", len(conns))
		}
		time.Sleep(20 * time.Millisecond) // for the server to accept what it will accept
		for _, conn := range conns {
			conn.Close()
		}
	}
	if n := l.most.Load(); n > most || n < most/2 {
		t.Errorf("%d connections were accepted at once, want %d", n, most)
	}
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	if got := text(t, c, "http://"+address+"/pypi/"); got != "registry /pypi/" {
		t.Errorf("afterwards: got %q", got)
	}
}

// countingListener counts the connections that are accepted and not closed.
type countingListener struct {
	net.Listener
	open, most atomic.Int32
}

func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if n := l.open.Add(1); n > l.most.Load() {
		l.most.Store(n)
	}
	return &countedConn{Conn: conn, l: l}, nil
}

type countedConn struct {
	net.Conn
	l    *countingListener
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.l.open.Add(-1) })
	return c.Conn.Close()
}
