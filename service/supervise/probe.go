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

// Probe makes a check: a connection to a port of this machine, or a request to an address of it.
func Probe(ctx context.Context, c service.Check) error {
	if c.HTTP != "" {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.HTTP, nil)
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
