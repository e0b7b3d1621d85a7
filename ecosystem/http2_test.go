package ecosystem

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAQAAAAIAAAAA\r\n"

// TestHTTP2 asks for HTTP/2 as cargo does. The server changes for requests without a body that are no requests to a proxy, and closes such connections when it ends.
func TestHTTP2(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		two  bool
	}{
		"asked for":         {"GET /crate/a HTTP/1.1\r\nHost: a\r\n" + upgrade + "\r\n", true},
		"not asked for":     {"GET /crate/a HTTP/1.1\r\nHost: a\r\n\r\n", false},
		"half asked for":    {"GET /crate/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false},
		"with a body":       {"GET /crate/a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n" + upgrade + "\r\nx", false},
		"a body in pieces":  {"GET /crate/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + upgrade + "\r\n0\r\n\r\n", false},
		"to a proxy":        {"GET http://b/crate/a HTTP/1.1\r\nHost: b\r\n" + upgrade + "\r\n", false},
		"another method":    {"POST /crate/a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" + upgrade + "\r\n", false},
		"settings that lie": {"GET /crate/a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.URL.Path) }))
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := errors.Join(conn.SetDeadline(time.Now().Add(20*time.Second)), second(io.WriteString(conn, c.head))); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if two := res.StatusCode == http.StatusSwitchingProtocols; two != c.two {
				t.Fatalf("the server answers %s", res.Status)
			}
			if c.two {
				if got := streamOne(t, conn, r); got != "a /crate/a" {
					t.Errorf("got %q", got)
				}
			} else if body, err := io.ReadAll(io.LimitReader(res.Body, res.ContentLength)); err != nil || !strings.HasSuffix(string(body), " /crate/a") && res.StatusCode == http.StatusOK {
				t.Errorf("got %q, %v", body, err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open after the server has ended")
			}
		})
	}
}

func second(_ int, err error) error { return err }

// streamOne returns the body of the answer to the request with which a connection changed to HTTP/2.
func streamOne(t *testing.T, conn io.Writer, r io.Reader) string {
	t.Helper()
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, r)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		data, ok := f.(*http2.DataFrame)
		if !ok {
			continue
		}
		body.Write(data.Data())
		if data.StreamEnded() {
			return body.String()
		}
	}
}

// TestLimited runs more requests than there are slots: the others wait, and end with their clients.
func TestLimited(t *testing.T) {
	begun, end := make(chan bool, 3), make(chan bool)
	h := limited(make(chan struct{}, 2), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- true
		<-end
	}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan bool, 3)
	for range 3 {
		go func() {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			h.ServeHTTP(nil, r)
			ended <- true
		}()
	}
	<-begun
	<-begun
	select {
	case <-begun:
		t.Error("three requests run at once")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	<-ended
	close(end)
	<-ended
	<-ended
}
