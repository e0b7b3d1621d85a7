package source

import (
	"context"
	"fmt"
	"net/url"

	"github.com/MordragT/nuka/pir"
)

// resolve returns the addresses at which an origin's bytes are, in the order to try them.
// Of several files of a Debian source it picks the one with the digest want.
func (f *Fetcher) resolve(ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error) {
	switch o.Kind {
	case URL:
		p, err := regs.withLogin(place{url: o.URL})
		return []place{p}, err
	case NPM:
		return f.resolveNPM(ctx, o, regs)
	case PyPI:
		return f.resolvePyPI(ctx, o, regs)
	case Crate:
		return f.resolveCrate(ctx, o, want, regs)
	case Go:
		return f.resolveGo(ctx, o, regs)
	case Deb, DebSrc:
		return f.resolveDebian(ctx, o, want, regs)
	}
	return nil, fmt.Errorf("origin kind %q has no address", o.Kind)
}

// sameHost reports whether two addresses are of one server, which may see the credentials for either.
func sameHost(a, b string) bool {
	ua, err := url.Parse(a)
	if err != nil {
		return false
	}
	ub, err := url.Parse(b)
	return err == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host
}
