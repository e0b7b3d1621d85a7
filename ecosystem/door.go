package ecosystem

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// NewProxy returns the handler of DoorProxy: clients reach it by HTTPS_PROXY and HTTP_PROXY (RFC 9110, sections 9.3.6 and 7.6), and trust the authority.
// It decrypts what they ask, and h answers. Requests that are for no other host go to h as with DoorRegistry.
func NewProxy(h Handler, authority *Authority) http.Handler {
	return &proxy{h, authority, make(chan struct{}, maxStreams)}
}

type proxy struct {
	h         Handler
	authority *Authority
	slots     chan struct{} // of requests on connections to hosts
}

// SetupProxy returns the variables by which clients use the proxy at base and trust the certificate in a file.
func SetupProxy(base, caPath string) map[string]string {
	env := map[string]string{"NO_PROXY": "", "no_proxy": ""}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "CARGO_HTTP_PROXY", "npm_config_https_proxy", "npm_config_proxy", "YARN_HTTPS_PROXY"} {
		env[name] = base
	}
	for _, name := range []string{"SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "npm_config_cafile", "CARGO_HTTP_CAINFO", "GIT_SSL_CAINFO",
		"YARN_HTTPS_CA_FILE_PATH", "DENO_CERT"} {
		env[name] = caPath
	}
	env["SSL_CERT_DIR"] = "/nonexistent" // else clients of OpenSSL and Go add the certificates of the system
	return env
}

const helloTime = 30 * time.Second

var hostName = lazyregexp.New(`^[a-z0-9]([a-z0-9_.-]{0,251}[a-z0-9])?$|^\[[0-9a-f:.]{2,45}\]$`)

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Host == "":
		p.h.ServeHTTP(w, r)
	case r.URL.Scheme != "http":
		p.h.Refused(r.URL.Host, "the client asks for an address of "+clip(r.URL.Scheme)+" without encryption of its own")
		http.Error(w, "nuka: this proxy takes CONNECT, and requests with the whole address of http", http.StatusBadRequest)
	default:
		p.answer(w, r, origin(r.URL))
	}
}

func (p *proxy) answer(w http.ResponseWriter, r *http.Request, at string) {
	q, err := p.h.Locate(r, at)
	if err != nil {
		p.h.Refused(at, err.Error())
		http.Error(w, "nuka: refused: "+err.Error(), http.StatusForbidden)
		return
	}
	p.h.Answer(w, r, q)
}

// connect speaks TLS with the client in place of the host.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	host, port, err := net.SplitHostPort(r.Host)
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if err != nil || !hostName().MatchString(name) || strings.Contains(name, "..") || port == "" || strings.Trim(port, "0123456789") != "" {
		p.h.Refused(r.Host, "the client asks to be connected to something that is no host")
		http.Error(w, "nuka: CONNECT wants HOST:PORT", http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "nuka: "+err.Error(), http.StatusInternalServerError)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(r.Context(), func() { conn.Close() })
	defer stop()
	if err := conn.SetDeadline(time.Now().Add(helloTime)); err != nil {
		return
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	// Only what was read already comes from the server's reader: an error of it would end the context of this request.
	early := io.LimitReader(buffered, int64(buffered.Reader.Buffered()))
	c := &peeked{Conn: conn, r: bufio.NewReader(io.MultiReader(early, conn))}
	if first, err := c.r.Peek(1); err != nil || first[0] != 0x16 { // a handshake (RFC 8446, section 5.1)
		if !errors.Is(err, io.EOF) {
			p.h.Refused(r.Host, "the client does not speak TLS on the connection that it asked for")
		}
		return
	}
	plain := strings.Trim(name, "[]")
	secure := tls.Server(c, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if sni := strings.ToLower(hello.ServerName); sni != plain && (sni != "" || net.ParseIP(plain) == nil) {
				return nil, fmt.Errorf("it asked to be connected to %s, and then named %.100q in TLS", plain, sni)
			}
			return p.authority.sign(plain)
		},
	})
	if err := secure.HandshakeContext(r.Context()); err != nil {
		p.h.Refused(r.Host, "the client and the proxy found no common TLS; it may not trust the proxy's authority: "+err.Error())
		return
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return
	}
	at := "https://" + name
	if port != "443" {
		at += ":" + port
	}
	p.inside(r.Context(), secure, name, at)
}

// inside answers the requests of one connection until it ends.
func (p *proxy) inside(ctx context.Context, conn net.Conn, name, at string) {
	s := newServer(ctx, limited(p.slots, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.ToLower(r.Host)
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
			if strings.Contains(h, ":") {
				host = "[" + h + "]"
			}
		}
		if r.Method == http.MethodConnect || r.URL.Host != "" || strings.TrimSuffix(host, ".") != name {
			p.h.Refused(r.Host, "the client asks for another host on a connection to "+name)
			http.Error(w, "nuka: this connection is to "+name, http.StatusMisdirectedRequest)
			return
		}
		p.answer(w, r, at)
	})))
	serveOne(s, conn)
}

// serveOne answers the requests of one connection until it ends.
func serveOne(s *http.Server, conn net.Conn) {
	l := &single{conn: conn, closed: make(chan struct{})}
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			l.end()
		}
	}
	_ = s.Serve(l) // ends when the connection does
}

// peeked is a connection of which some bytes were read already.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// single is a listener with one connection, which ends when the connection does.
type single struct {
	conn   net.Conn
	once   sync.Once
	given  bool
	closed chan struct{}
}

func (s *single) end() { s.once.Do(func() { close(s.closed) }) }

func (s *single) Accept() (net.Conn, error) {
	if !s.given {
		s.given = true
		return s.conn, nil
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *single) Close() error {
	s.end()
	return nil
}

func (s *single) Addr() net.Addr { return s.conn.LocalAddr() }
