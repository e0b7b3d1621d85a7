package source

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
)

// Go is the kind of a Go module. The name of an origin is the module's path.
const Go OriginKind = "go"

func goKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Go), About: "A Go module.", More: kind.Downloaded,
			Args:  kind.Release("The module's path."),
			Flags: kind.Archive(kind.Param{Name: "mod", Type: kind.Switch, About: "Its go.mod alone, as the proxy has it."}),
			Unpacked: func(fields kind.Fields) pir.Unpack {
				if fields["mod"] != "" {
					return pir.UnpackFile
				}
				return pir.UnpackArchive
			},
			Examples: []kind.Example{{Text: "fetch go golang.org/x/mod v0.41.0 --hash h1:aaaa", About: "A module."}},
			Stripped: func(fields kind.Fields) int { return strings.Count(fields["name"], "/") + 1 }, // <module>@<version>/
		},
		Digests:     []pir.HashAlgorithm{pir.H1, pir.SHA256},
		Doc:         "```nu eval\nfetch go golang.org/x/mod v0.24.0 --hash h1:ZfthKaKaT4NrhGVZHO1/WDTwGES4De8KtWO0SIbNJMU=\n```",
		Finds:       "`GOPROXY`, `GONOPROXY`, `GOPRIVATE`; go's own file of them; then `go env GOPROXY`",
		Credentials: "in the proxy's address, or in netrc",
		Check:       func(o Origin) error { return checkRelease(o, true) },
		Config:      &ConfigKind{"go", "GOPROXY", func(c *Client) Config { return c.goModules() }, func() Config { return new(GoConfig) }},
		Netrc:       true,
		Registry:    "Go module proxy",
		Nothing:     Origin{Name: "example.com/nuka-doctor", Version: "v0.0.0"},
		Find: func(f *Fetcher, ctx context.Context, o Origin, _ pir.Hash, regs *Registries) ([]place, error) {
			return f.resolveGo(ctx, o, regs)
		},
		Upstreams: (*Fetcher).goUpstreams,
	}
}

func (g *GoConfig) anonymous() Config {
	var list strings.Builder
	for proxy, separator := range eachProxy(g.Proxy) {
		list.WriteString(withoutUser(proxy) + separator)
	}
	return &GoConfig{Proxy: list.String(), NoProxy: g.NoProxy}
}

// GoConfig is go's configuration of module proxies.
type GoConfig struct {
	Proxy   string `json:"proxy,omitempty"`    // GOPROXY; "" is go's default
	NoProxy string `json:"no_proxy,omitempty"` // GONOPROXY, or GOPRIVATE: patterns of modules that are not requested from a proxy
}

// goModules reads go's configuration. It does not run go.
func (c *Client) goModules() *GoConfig {
	file := settings(first(c.env("GOENV"), below(c.env("XDG_CONFIG_HOME"), "go", "env"), c.home(".config", "go", "env")))
	get := func(name string) string { return first(c.env(name), file[name]) }
	return &GoConfig{Proxy: get("GOPROXY"), NoProxy: first(get("GONOPROXY"), get("GOPRIVATE"))}
}

// eachProxy yields the entries of a GOPROXY list, each with the separator after it.
func eachProxy(list string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for list != "" {
			entry, separator := list, ""
			if i := strings.IndexAny(list, ",|"); i >= 0 {
				entry, separator, list = list[:i], list[i:i+1], list[i+1:]
			} else {
				list = ""
			}
			if entry = strings.TrimSpace(entry); entry != "" && !yield(entry, separator) {
				return
			}
		}
	}
}

// goSetting is the hint if no proxy can be used.
const goSetting = "set GOPROXY to the address of a module proxy, or fetch the repository with fetch git"

func (f *Fetcher) resolveGo(ctx context.Context, o Origin, regs *Registries) ([]place, error) {
	g := configOf[GoConfig](regs, "go")
	list := g.Proxy
	if list == "" {
		list = f.o.Client.ask(ctx, "go", "env", "GOPROXY")
	}
	if list == "" {
		return nil, noRegistry("Go module", "install go, or set GOPROXY to the address of a module proxy")
	}
	escaped, err := module.EscapePath(o.Name)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "module %q: %v", o.Name, err)
	}
	version, err := module.EscapeVersion(o.Version)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "module version %q: %v", o.Version, err)
	}
	if module.MatchPrefixPatterns(g.NoProxy, o.Name) {
		return nil, protocol.Errorf(protocol.Unavailable, "GONOPROXY or GOPRIVATE has go fetch %s from its repository, which nuka does not do", o.Name).
			WithHint(goSetting)
	}
	var failure error
	for proxy, separator := range eachProxy(list) {
		switch proxy {
		case "off":
			return nil, goEnd(failure, protocol.Errorf(protocol.Denied, "GOPROXY=%s: the list ends with off, which forbids to fetch modules", shownProxies(list)).WithHint(goSetting))
		case "direct":
			return nil, goEnd(failure, protocol.Errorf(protocol.Unavailable,
				"GOPROXY=%s: direct has go fetch %s from its repository, which nuka does not do", shownProxies(list), o.Name).WithHint(goSetting))
		}
		p, err := f.goPlace(ctx, o, strings.TrimRight(proxy, "/")+"/"+escaped, version, regs)
		if err == nil {
			return []place{p}, nil
		}
		if code := protocol.CodeOf(err); ctx.Err() != nil || code == protocol.Invalid || separator != "|" && code != protocol.NotFound {
			return nil, err // go.dev/ref/mod#goproxy-protocol: after a comma, only "not found" continues with the next proxy
		}
		if failure == nil || protocol.CodeOf(failure) == protocol.NotFound {
			failure = err
		}
	}
	return nil, goEnd(failure, noRegistry("Go module", goSetting))
}

// goEnd returns the last proxy's error if there is one, otherwise the error about the list.
func goEnd(said, list error) error {
	if said != nil {
		return said
	}
	return list
}

func shownProxies(list string) string {
	var out strings.Builder
	for proxy, separator := range eachProxy(list) {
		out.WriteString(withoutUser(proxy) + separator)
	}
	return out.String()
}

// goPlace returns the address of a version's zip, or go.mod, on a proxy.
func (f *Fetcher) goPlace(ctx context.Context, o Origin, base, version string, regs *Registries) (place, error) {
	if !strings.HasPrefix(base, "http") {
		return place{}, protocol.Errorf(protocol.Unavailable, "the module proxy %s is not an https or http address", base).WithHint(goSetting)
	}
	p, err := regs.withLogin(place{url: base})
	if err != nil {
		return place{}, err
	}
	body, err := f.get(ctx, place{p.url + "/@v/" + version + ".info", p.header})
	if err != nil {
		if protocol.CodeOf(err) == protocol.NotFound {
			return place{}, f.noGoVersion(ctx, o, p, err)
		}
		return place{}, err
	}
	var info struct{ Version string }
	if json.Unmarshal(body, &info) != nil || info.Version == "" {
		return place{}, protocol.Errorf(protocol.Unavailable, "module proxy: its answer about %s %s names no version", o.Name, o.Version)
	}
	if info.Version != o.Version {
		return place{}, movingVersion(o, info.Version)
	}
	if o.Flags["mod"] != "" {
		return place{p.url + "/@v/" + version + ".mod", p.header}, nil
	}
	return place{p.url + "/@v/" + version + ".zip", p.header}, nil
}

// noGoVersion returns an error with the versions that a proxy has, if it has the module.
func (f *Fetcher) noGoVersion(ctx context.Context, o Origin, p place, missing error) error {
	body, err := f.get(ctx, place{p.url + "/@v/list", p.header})
	if err != nil {
		return missing
	}
	versions := strings.Fields(string(body))
	slices.SortFunc(versions, semver.Compare)
	newest := newestRelease(versions)
	if newest == "" {
		return missing
	}
	if o.Version == "latest" {
		return movingVersion(o, newest)
	}
	return noVersion(o, newest, versions)
}
