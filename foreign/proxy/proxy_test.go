package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// serve starts a proxy and returns its address.
func serve(t *testing.T, p *Proxy) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func client(t *testing.T, proxy string) *http.Client {
	at, err := url.Parse("http://" + proxy)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{Proxy: http.ProxyURL(at)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func TestProxy(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("all", func(t *testing.T) {
		plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Proxy-Authorization", "X-Hop"} {
				if r.Header.Get(name) != "" {
					t.Errorf("%s passed through", name)
				}
			}
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
		}))
		defer plain.Close()
		tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "over TLS") }))
		defer tls.Close()
		allow := []string{strings.TrimPrefix(plain.URL, "http://"), strings.TrimPrefix(tls.URL, "https://")}
		c := client(t, serve(t, &Proxy{Allow: allow}))
		req, _ := http.NewRequestWithContext(t.Context(), "POST", plain.URL+"/path", strings.NewReader("text"))
		req.Header.Set("Proxy-Authorization", "secret")
		req.Header.Set("Connection", "X-Hop")
		req.Header.Set("X-Hop", "1")
		r, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if string(body) != "POST /path text" {
			t.Errorf("got %s", body)
		}
		c.Transport.(*http.Transport).TLSClientConfig = tls.Client().Transport.(*http.Transport).TLSClientConfig
		r, err = c.Get(tls.URL)
		if err != nil {
			t.Fatal(err)
		}
		body, _ = io.ReadAll(r.Body)
		r.Body.Close()
		if string(body) != "over TLS" {
			t.Errorf("got %s", body)
		}
		c.CloseIdleConnections()
	})
}

func TestRefused(t *testing.T) {
	reached := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	p := &Proxy{Allow: []string{"good.example:" + port, "*.wide.example:" + port, "192.0.2.1:443"}}
	p.lookup = func(context.Context, string) ([]netip.Addr, error) { // each name leads to this machine
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:127.0.0.1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1")}, nil
	}
	at := serve(t, p)
	c := client(t, at)
	for _, host := range []string{"good.example", "sub.wide.example", "wide.example", "127.0.0.1", "localhost", "[::1]", "evil.example", "good.example.evil.example", "xwide.example", "0", "2130706433", "0x7f.1"} {
		r, err := c.Get("http://" + net.JoinHostPort(strings.Trim(host, "[]"), port) + "/")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		r.Body.Close()
		if r.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %s, want a refusal", host, r.Status)
		}
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: good.example\r\n\r\n", net.JoinHostPort(strings.Trim(host, "[]"), port))
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		conn.Close()
		if err != nil || answer.StatusCode != http.StatusForbidden {
			t.Errorf("CONNECT %s: got %v, %v", host, answer, err)
		}
	}
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: good.example\r\n\r\n", "GET ftp://good.example/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "garbage\r\n\r\n"} {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		conn.Close()
		if err != nil || answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: got %v, %v", text, answer, err)
		}
	}
	if len(reached) > 0 {
		t.Errorf("the server was reached as %s", <-reached)
	}
}

func TestAllowed(t *testing.T) {
	p := &Proxy{Allow: []string{"a.example:443", "*.b.example:443", "127.0.0.1:80"}}
	for address, want := range map[string]bool{
		"a.example:443": true, "A.Example.:443": true, "a.example:80": false, "x.a.example:443": false, "b.example:443": false, "x.b.example:443": true, "y.x.b.example:443": true,
		".b.example:443": false, "127.0.0.1:80": true, "127.0.0.1:443": false, "evilb.example:443": false,
	} {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.allowed(host, port); got != want {
			t.Errorf("%s: got %v", address, got)
		}
	}
	if _, err := p.dial(t.Context(), "b.example:443"); !errors.Is(err, errDenied) {
		t.Errorf("got %v", err)
	}
}
