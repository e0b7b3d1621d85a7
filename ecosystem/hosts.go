package ecosystem

import (
	"net"
	"net/url"
	"strings"
)

// AllowHosts returns the function Options.Allow for a list of HOST and HOST:PORT. HOST is that of https alone; *.example.org stands for each name below example.org.
func AllowHosts(hosts []string) func(origin string) bool {
	return func(at string) bool {
		u, err := url.Parse(at)
		if err != nil {
			return false
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
		}
		name := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
		for _, h := range hosts {
			want, wantPort, err := net.SplitHostPort(h)
			if err != nil {
				want, wantPort = strings.Trim(h, "[]"), "443"
			}
			want = strings.ToLower(want)
			below, pattern := strings.CutPrefix(want, "*")
			if wantPort == port && (want == name || pattern && strings.HasPrefix(below, ".") && strings.HasSuffix(name, below) && len(name) > len(below)) {
				return true
			}
		}
		return false
	}
}
