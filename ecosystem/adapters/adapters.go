// Package adapters has the adapters of all ecosystems, and joins them to the registries that the user's clients are configured for.
package adapters

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/pip"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// All returns the adapters.
func All() []ecosystem.Adapter {
	return []ecosystem.Adapter{pip.Adapter{}}
}

// Named returns the adapter of an ecosystem.
func Named(name string) (ecosystem.Adapter, error) {
	var names []string
	for _, a := range All() {
		if a.Name() == name {
			return a, nil
		}
		names = append(names, a.Name())
	}
	return nil, protocol.Errorf(protocol.Invalid, "ecosystem %.40q: want one of %s", name, strings.Join(names, ", "))
}

// Door returns the door for an adapter: the wanted one, or with "" the one that the adapter prefers.
func Door(a ecosystem.Adapter, wanted ecosystem.Door) (ecosystem.Door, error) {
	doors := a.Doors()
	if wanted == "" {
		return doors[0], nil
	}
	if !slices.Contains(doors, wanted) {
		return "", protocol.Errorf(protocol.Invalid, "%s has no door %.40q: want one of %s", a.Name(), wanted, doors)
	}
	return wanted, nil
}

// Upstreams returns the registries of an adapter's clients, as the user has configured them.
func Upstreams(ctx context.Context, f *source.Fetcher, a ecosystem.Adapter, r *source.Registries) ([]ecosystem.Upstream, error) {
	var kinds []source.OriginKind
	for _, k := range a.Kinds() {
		kinds = append(kinds, source.OriginKind(k))
	}
	list, err := f.Upstreams(ctx, kinds, r)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	var out []ecosystem.Upstream
	for _, u := range list {
		alias := string(u.Kind)
		if count[alias]++; count[alias] > 1 {
			alias = fmt.Sprintf("%s-%d", u.Kind, count[alias])
		}
		out = append(out, ecosystem.Upstream{Alias: alias, Kind: string(u.Kind), URL: u.URL, Header: u.Header, Scope: u.Scope})
	}
	return out, nil
}

// Setup returns what points the clients of an adapter at a proxy at ecosystem.Base.
func Setup(a ecosystem.Adapter, door ecosystem.Door, upstreams []ecosystem.Upstream) ecosystem.Setup {
	return a.Setup(door, ecosystem.Base, upstreams)
}
