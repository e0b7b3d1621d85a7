package ecosystem_test

import (
	"cmp"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/MordragT/nuka/ecosystem"
)

// TestHosts lets clients reach the hosts of registries, of indexes and of the configuration, and no others: an install script asks as well.
func TestHosts(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	hosts := map[string]string{"/simple/six/": index("https://files.example.org/six-1.0.tar.gz", []byte("six 1.0"))}
	tr := roundTrip(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		asked[r.URL.Host]++
		mu.Unlock()
		body := cmp.Or(hosts[r.URL.Path], "six 1.0")
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
	})
	rec, _ := recorder(t, &ecosystem.Options{Door: ecosystem.DoorProxy, Transport: tr, Upstreams: []ecosystem.Upstream{upstream("pypi", "https://index.example.org/simple")},
		Allow: ecosystem.AllowHosts([]string{"more.example.org", "*.below.example.org:8443"})})
	address, pool := proxyDoor(t, rec)
	c := proxyClient(t, address, pool)
	get := func(at string, reach bool) {
		t.Helper()
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		before := asked[u.Host]
		mu.Unlock()
		got := text(t, c, at)
		mu.Lock()
		defer mu.Unlock()
		if reached := asked[u.Host] > before; reached != reach || strings.Contains(got, "may not reach") == reach {
			t.Errorf("%s: reached %v, want %v: %s", at, reached, reach, got)
		}
	}
	get("https://files.example.org/six-1.0.tar.gz", false) // no index has named it yet
	get("https://index.example.org/simple/six/", true)
	get("https://files.example.org/six-1.0.tar.gz", true)
	get("https://files.example.org:8443/six-1.0.tar.gz", false)
	get("https://evil.example/?secret", false)
	get("https://evil.example/?again", false) // the first attempt made nothing known
	get("https://more.example.org/x", true)
	get("https://more.example.org:444/x", false)
	get("https://a.below.example.org:8443/x", true)
	get("https://below.example.org:8443/x", false)
	get("https://169.254.169.254/latest/meta-data/", false)
	post, err := c.Post("https://index.example.org/simple/six/", "text/plain", strings.NewReader("secret"))
	if err != nil {
		t.Fatal(err)
	}
	post.Body.Close()
	if post.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %s", post.Status)
	}
	said := strings.Join(rec.Refusals(), "\n")
	for _, want := range []string{"https://evil.example: the client may not reach", "169.254.169.254", "POST of pypi /six/"} {
		if !strings.Contains(said, want) {
			t.Errorf("the refusals do not name %s:\n%s", want, said)
		}
	}
}

func TestAllowHosts(t *testing.T) {
	allow := ecosystem.AllowHosts([]string{"One.example", "two.example:8443", "*.three.example", "[2001:db8::1]:443"})
	for at, want := range map[string]bool{
		"https://one.example": true, "https://one.example:8443": false, "http://one.example": false, "https://two.example": false, "https://two.example:8443": true,
		"https://a.three.example": true, "https://three.example": false, "https://evilthree.example": false, "https://[2001:db8::1]": true, "https://": false,
	} {
		if got := allow(at); got != want {
			t.Errorf("%s: got %v, want %v", at, got, want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
