package supervise

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/MordragT/nuka/service"
)

// client follows no redirects and uses no proxy: a check is about the program itself.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// clientOn returns a client whose requests go to a socket.
func clientOn(s service.Socket) *http.Client {
	return &http.Client{
		CheckRedirect: client.CheckRedirect,
		Transport: &http.Transport{
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, s.Network, s.Local())
			},
		},
	}
}

// Probe makes a check: a connection to a port or socket of this machine, or a request to an address or socket of it.
func Probe(ctx context.Context, c service.Check) error {
	if c.HTTP != "" {
		address, client := c.HTTP, client
		if c.On != "" {
			address, client = "http://localhost"+c.HTTP, clientOn(c.Socket)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		res.Body.Close() //nolint:errcheck // only the status counts
		if res.StatusCode >= http.StatusBadRequest {
			return fmt.Errorf("it answers %s", res.Status)
		}
		return nil
	}
	if c.On != "" {
		conn, err := new(net.Dialer).DialContext(ctx, c.Socket.Network, c.Socket.Local())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	var last error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(c.Port)))
		if err == nil {
			return conn.Close()
		}
		if last == nil {
			last = err
		}
	}
	return last
}
