package ecosystem

import (
	"net/http"
	"net/url"
	"testing"
)

// TestPlaces makes further places of a registry known. Only those of its own host have its credentials, and none is an address of this machine's network.
func TestPlaces(t *testing.T) {
	secret := http.Header{"Authorization": {"Bearer secret"}}
	p, err := newPlaces([]Upstream{{Alias: "crate", Kind: "crate", URL: "https://index.example.org/api", Header: secret}}, Base)
	if err != nil {
		t.Fatal(err)
	}
	for name, address := range map[string]string{
		"dl": "https://index.example.org/mirror/v1/crates/", "static": "https://files.example.com/crates", "api": "https://index.example.org/api", // as the registry
		"inward": "http://127.0.0.1:80/x", "lan": "https://192.168.1.1/", "user": "https://me:you@index.example.org/", "up": "https://index.example.org/a/../b",
		"UPPER": "https://index.example.org/upper", "ftp": "ftp://index.example.org/",
	} {
		p.add("crate", name, address)
	}
	p.add("other", "dl", "https://index.example.org/other")
	if n := len(p.registries()); n != 3 {
		t.Errorf("%d places: %v", n, p.registries())
	}
	for _, c := range []struct {
		address, request, rewritten string
		header                      bool
	}{
		{"https://index.example.org/mirror/v1/crates/a/1.0.0/download", "crate-dl /a/1.0.0/download", Base + "/crate-dl/a/1.0.0/download", true},
		{"https://index.example.org/mirror/v1/crates", "crate-dl /", Base + "/crate-dl", true},
		{"https://index.example.org/mirror/v1/crates2/a", HostAlias("https://index.example.org") + " /mirror/v1/crates2/a", Base + "/" + HostAlias("https://index.example.org") + "/mirror/v1/crates2/a", false},
		{"https://files.example.com/crates/a/a-1.0.0.crate", "crate-static /a/a-1.0.0.crate", Base + "/crate-static/a/a-1.0.0.crate", false},
		{"https://index.example.org/api/a", "crate /a", Base + "/crate/a", true},
	} {
		u, err := url.Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.locate(u, false)
		if err != nil || q.String() != c.request {
			t.Errorf("%s: got %q, %v, want %q", c.address, q, err, c.request)
			continue
		}
		if got := p.rewrite(c.address, false); got != c.rewritten {
			t.Errorf("%s: rewritten to %s, want %s", c.address, got, c.rewritten)
		}
		at, up, ok := p.address(q)
		if !ok || at.String() != c.address && at.String() != c.address+"/" {
			t.Errorf("%s: asked at %s, %v", q, at, ok)
		}
		if got := up != nil && up.Header != nil; got != c.header {
			t.Errorf("%s: with credentials: %v, want %v", c.address, got, c.header)
		}
	}
}
