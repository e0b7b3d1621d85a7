package source

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// An Upstream is a registry that a user's clients are configured for, as a proxy before it needs to know it.
type Upstream struct {
	Kind OriginKind
	URL  string // without a slash at its end, and without credentials
	// Header has the credentials. They are for the host of URL only, and must not be stored.
	Header http.Header
	// Scope limits the registry to some packages: @scope of npm, or the name of a registry that packages of cargo name. "" is all of them.
	Scope string
}

// Upstreams returns the registries of some kinds of sources, those of a kind in the order in which its client asks them. regs is the configuration of
// the requester; nil means that of this process (Options.Client). A kind without a registry, or with one that no proxy can stand for, is an error, with ErrNoRegistry
// if nothing is configured.
func (f *Fetcher) Upstreams(ctx context.Context, kinds []OriginKind, regs *Registries) ([]Upstream, error) {
	if f.o.Offline {
		return nil, protocol.Errorf(protocol.Offline, "registries are needed, and the network may not be used").WithHint("run it once without --offline")
	}
	if regs == nil {
		var origins []Origin
		for _, k := range kinds {
			origins = append(origins, Origin{Kind: k})
		}
		regs = f.o.Client.Registries(origins...)
	}
	var all []Upstream
	for _, name := range kinds {
		k := name.find()
		if k == nil || k.Upstreams == nil {
			return nil, protocol.Errorf(protocol.Invalid, "sources of kind %q have no registry that a proxy could stand for", name)
		}
		some, err := k.Upstreams(f, ctx, regs)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// upstream makes an Upstream of an address, which may have credentials; those of netrc count, too, if regs has them.
func (r *Registries) upstream(k OriginKind, address string, header http.Header) (Upstream, error) {
	at, err := r.withLogin(place{url: strings.TrimRight(strings.TrimSpace(address), "/"), header: header})
	return Upstream{Kind: k, URL: strings.TrimRight(at.url, "/"), Header: at.header}, err
}

func (f *Fetcher) pypiUpstreams(ctx context.Context, regs *Registries) (out []Upstream, err error) {
	indexes, err := f.pypiIndexes(ctx, configOf[PyPIConfig](regs, "pypi"))
	for _, index := range indexes {
		u, err := regs.upstream(PyPI, index, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, err
}

func (f *Fetcher) goUpstreams(ctx context.Context, regs *Registries) (out []Upstream, err error) {
	g := configOf[GoConfig](regs, "go")
	list := first(g.Proxy, f.o.Client.ask(ctx, "go", "env", "GOPROXY"))
	for proxy := range eachProxy(list) {
		if proxy == "off" || proxy == "direct" {
			break // a proxy stands for proxies only: what go would fetch from repositories is not there
		}
		if !strings.HasPrefix(proxy, "http") {
			return nil, protocol.Errorf(protocol.Unavailable, "GOPROXY=%s: %s is not an https or http address", shownProxies(list), withoutUser(proxy)).WithHint(goSetting)
		}
		u, err := regs.upstream(Go, proxy, nil)
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	if len(out) == 0 {
		return nil, noRegistry("Go module", goSetting)
	}
	return out, nil
}

func (f *Fetcher) npmUpstreams(ctx context.Context, regs *Registries) (out []Upstream, err error) {
	n := configOf[NPMConfig](regs, "npm")
	scopes := []string{""}
	for key := range n.Settings {
		if scope, ok := strings.CutSuffix(key, ":registry"); ok && strings.HasPrefix(scope, "@") {
			scopes = append(scopes, scope)
		}
	}
	slices.Sort(scopes)
	for _, scope := range scopes {
		base, err := f.npmBase(ctx, n, scope)
		if err != nil {
			return nil, err
		}
		header, err := n.header(base + "/")
		if err != nil {
			return nil, err
		}
		u, err := (&Registries{}).upstream(NPM, base, header)
		if err != nil {
			return nil, err
		}
		u.Scope = scope
		out = append(out, u)
	}
	return out, nil
}

func (f *Fetcher) crateUpstreams(ctx context.Context, regs *Registries) ([]Upstream, error) {
	c := configOf[CargoConfig](regs, "cargo")
	if c.Problem != "" {
		return nil, cargoProblem(c)
	}
	var header http.Header
	if c.Token != "" {
		header = http.Header{"Authorization": {c.Token}}
	}
	index := c.Index
	if index == "" {
		index, header = f.cargoOwn(ctx, c), nil
	}
	if index == "" {
		return nil, noRegistry("crate", crateSetting)
	}
	u, err := (&Registries{}).upstream(Crate, index, header)
	out := []Upstream{u}
	for _, r := range c.Registries {
		var header http.Header
		if r.Token != "" {
			header = http.Header{"Authorization": {r.Token}}
		}
		u, problem := (&Registries{}).upstream(Crate, r.Index, header)
		u.Scope = r.Name
		out, err = append(out, u), errors.Join(err, problem)
	}
	return out, err
}
