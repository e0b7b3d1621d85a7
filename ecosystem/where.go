package ecosystem

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// places maps addresses to requests and back. Several goroutines use it at once.
type places struct {
	base string // of the proxy

	mu        sync.Mutex
	upstreams []Upstream        // the longest address first; the slice is replaced, not changed
	hosts     map[string]string // the address of each host that has an alias of HostAlias
}

func newPlaces(upstreams []Upstream, base string) (*places, error) {
	p := &places{base: base, upstreams: slices.Clone(upstreams), hosts: map[string]string{}}
	seen := map[string]bool{}
	for i := range p.upstreams {
		u := &p.upstreams[i]
		at, err := url.Parse(u.URL)
		switch {
		case err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || at.User != nil || at.RawQuery != "" || at.Fragment != "":
			return nil, fmt.Errorf("the address of the registry %q is not of the form https://HOST/PATH", u.Alias)
		case !goodAlias().MatchString(u.Alias) || seen[u.Alias]:
			return nil, fmt.Errorf("the alias %q of a registry is no alias, or there are two", u.Alias)
		}
		path, err := CanonicalPath(strings.TrimRight(at.EscapedPath(), "/"))
		if err != nil {
			return nil, fmt.Errorf("the registry %q: %w", u.Alias, err)
		}
		seen[u.Alias] = true
		u.URL = origin(at) + path
	}
	slices.SortStableFunc(p.upstreams, func(a, b Upstream) int { return cmp.Compare(len(b.URL), len(a.URL)) })
	return p, nil
}

// registries returns the registries that are known now.
func (p *places) registries() []Upstream {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstreams
}

// add makes another place of a registry known, by its alias and a name. It has the credentials of the registry on the same host only. An address that cannot be one, or
// that is known, changes nothing.
func (p *places) add(alias, name, address string) {
	at, err := url.Parse(address)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || at.User != nil || !placeName().MatchString(name) {
		return
	}
	path, err := CanonicalPath(strings.TrimRight(at.EscapedPath(), "/"))
	if err != nil || p.inward(at.Host, origin(at)) {
		return
	}
	u := Upstream{Alias: alias + "-" + name, URL: origin(at) + path}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, up := range p.upstreams {
		if up.Alias == u.Alias || up.URL == u.URL {
			return
		}
		if home, err := url.Parse(up.URL); up.Alias == alias && err == nil {
			u.Kind, u.Scope = up.Kind, up.Scope
			if origin(home) == origin(at) {
				u.Header = up.Header
			}
		}
	}
	if u.Kind == "" || !goodAlias().MatchString(u.Alias) {
		return
	}
	list := append(slices.Clone(p.upstreams), u)
	slices.SortStableFunc(list, func(a, b Upstream) int { return cmp.Compare(len(b.URL), len(a.URL)) })
	p.upstreams = list
}

var placeName = lazyregexp.New(`^[a-z]{1,10}$`)

// origin returns scheme and host of an address, in the usual spelling.
func origin(u *url.URL) string {
	host := strings.ToLower(strings.TrimSuffix(u.Host, ":"))
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}

// locate returns the request for an absolute address. The host of the address becomes known by its alias.
// own allows addresses of the proxy itself, as edited indexes have them.
func (p *places) locate(u *url.URL, own bool) (Request, error) {
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return Request{}, fmt.Errorf("%.200s is no address of the web", u.Redacted())
	}
	path, err := CanonicalPath(cmp.Or(u.EscapedPath(), "/"))
	if err != nil {
		return Request{}, err
	}
	at := origin(u)
	whole := at + path
	r := Request{Query: u.RawQuery}
	if rest, ok := strings.CutPrefix(whole, p.base+"/"); ok && own {
		alias, path, _ := strings.Cut(rest, "/")
		r.Alias, r.Path = alias, "/"+path
		return r, r.Check()
	}
	for _, up := range p.registries() {
		if rest, ok := strings.CutPrefix(whole, up.URL); ok && (rest == "" || strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "//")) {
			r.Alias, r.Path = up.Alias, cmp.Or(rest, "/")
			return r, r.Check()
		}
	}
	if p.inward(u.Host, at) {
		return Request{}, fmt.Errorf("%.200s is an address of this machine or its network, and no registry of the configuration", at)
	}
	r.Alias, r.Path = HostAlias(at), path
	if err := r.Check(); err != nil {
		return Request{}, err
	}
	p.mu.Lock()
	p.hosts[r.Alias] = at
	p.mu.Unlock()
	return r, nil
}

// inward reports whether a host is by its own spelling one of this machine or its network. Addresses that a name leads to are checked when they are dialled.
func (p *places) inward(host, at string) bool {
	if p.upstreamAt(at) != nil {
		return false
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if ip, err := netip.ParseAddr(name); err == nil {
		return !global(ip)
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || !strings.Contains(name, ".")
}

// upstreamAt returns an upstream of the host with that address, or nil.
func (p *places) upstreamAt(at string) *Upstream {
	for _, up := range p.registries() {
		if up.URL == at || strings.HasPrefix(up.URL, at+"/") {
			return &up
		}
	}
	return nil
}

// named reports whether an origin is that of a registry, or of an address that an index or a lock file named.
func (p *places) named(at string) bool {
	if p.upstreamAt(at) != nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts[HostAlias(at)] == at // and not another host of the same alias
}

// address returns the address of what r asks for, and the upstream if its alias is one of those. ok is false if the alias is not known.
func (p *places) address(r Request) (address *url.URL, up *Upstream, ok bool) {
	base := ""
	for _, one := range p.registries() {
		if one.Alias == r.Alias {
			up, base = &one, one.URL
		}
	}
	if up == nil {
		p.mu.Lock()
		base, ok = p.hosts[r.Alias]
		p.mu.Unlock()
		if !ok {
			return nil, nil, false
		}
	}
	text := base + r.Path
	if r.Query != "" {
		text += "?" + r.Query
	}
	u, err := url.Parse(text)
	return u, up, err == nil
}

// rewrite returns the address at the proxy for an absolute address, or the address as it is if the proxy does not pass it on.
func (p *places) rewrite(address string, own bool) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	r, err := p.locate(u, own)
	if err != nil {
		return address
	}
	fragment := ""
	if u.Fragment != "" {
		fragment = "#" + u.EscapedFragment()
	}
	if !strings.HasSuffix(u.Path, "/") && r.Path == "/" { // what a client appends begins with a slash
		r.Path = ""
	}
	return r.URL(p.base) + fragment
}

// hashed returns the addresses of the upstreams, as a recording has them.
func (p *places) hashed() map[string]string {
	out := map[string]string{}
	for _, up := range p.registries() {
		if u, err := url.Parse(up.URL); err == nil {
			out[up.Alias] = HostAlias(origin(u)) + u.EscapedPath()
		}
	}
	return out
}

// shared are the addresses that providers share among customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func global(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !shared.Contains(ip)
}

const dialTime = 30 * time.Second

// NewTransport returns a transport that uses the user's own proxy, and does not connect to addresses of this machine or its network unless they are those of
// the upstreams or of the user's proxy: an index that names such an address could otherwise reach services that trust their own machine.
func NewTransport(upstreams []Upstream) *http.Transport {
	var mu sync.Mutex
	trusted := map[string]bool{}
	trust := func(u *url.URL) {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
		}
		mu.Lock()
		defer mu.Unlock()
		trusted[net.JoinHostPort(strings.ToLower(u.Hostname()), port)] = true
	}
	for _, up := range upstreams {
		if u, err := url.Parse(up.URL); err == nil {
			trust(u)
		}
	}
	free, guarded := &net.Dialer{Timeout: dialTime}, &net.Dialer{Timeout: dialTime, Control: onlyGlobal}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			u, err := http.ProxyFromEnvironment(r)
			if u != nil {
				trust(u)
			}
			return u, err
		},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			known := trusted[strings.ToLower(address)]
			mu.Unlock()
			if known {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		ForceAttemptHTTP2: true, MaxIdleConns: 100, MaxIdleConnsPerHost: 32, IdleConnTimeout: 90 * time.Second,
		TLSHandshakeTimeout: dialTime, ResponseHeaderTimeout: 2 * time.Minute, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, // the Recorder decodes, and bounds what comes out
	}
}

func onlyGlobal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !global(at.Addr()) {
		return fmt.Errorf("%s is an address of this machine or its network, and no registry of the configuration", at.Addr())
	}
	return nil
}
