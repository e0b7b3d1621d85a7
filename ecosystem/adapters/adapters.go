// Package adapters has the adapters of all ecosystems, and joins them to the registries that the user's clients are configured for.
package adapters

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/cargo"
	"github.com/MordragT/nuka/ecosystem/gomod"
	"github.com/MordragT/nuka/ecosystem/maven"
	"github.com/MordragT/nuka/ecosystem/npm"
	"github.com/MordragT/nuka/ecosystem/pip"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// All returns the adapters.
func All() []ecosystem.Adapter {
	return []ecosystem.Adapter{pip.Adapter{}, npm.Adapter{}, cargo.Adapter{}, gomod.Adapter{}, maven.Adapter{}}
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

// OfRuntime returns the ecosystem whose clients a runtime of the package set has, or "".
func OfRuntime(name string) string {
	return map[string]string{"python": "pip", "node": "npm", "rust": "cargo", "go": "go", "java": "maven"}[name]
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

// A Session is one use of a recorder, or of a recording, by clients: its door, and what points the clients at it.
type Session struct {
	Handler http.Handler
	// Setup is that of the clients of this session, Recorded that of the recording: its clients find no registry behind the proxy.
	Setup, Recorded ecosystem.Setup
	// Refusals returns what clients tried and must not do; that of a replay has the requests that were not recorded, too.
	Refusals func() []string
	// Recorder and Adapter are those of a session that records.
	Recorder *ecosystem.Recorder
	Adapter  ecosystem.Adapter
}

// Serve lets the session answer the connections of a listener until ctx is done.
func (s *Session) Serve(ctx context.Context, l net.Listener) error {
	return ecosystem.Serve(ctx, l, s.Handler)
}

// Open returns a session that records for an ecosystem, before the registries that the user's clients are configured for. It sets Adapter and Upstreams of the options;
// Door is the wanted one, or "".
func Open(ctx context.Context, f *source.Fetcher, regs *source.Registries, name string, o *ecosystem.Options) (*Session, error) {
	a, err := Named(name)
	if err != nil {
		return nil, err
	}
	own := *o
	own.Adapter = a
	if own.Door, err = Door(a, o.Door); err != nil {
		return nil, err
	}
	if own.Upstreams, err = Upstreams(ctx, f, a, regs); err != nil {
		return nil, err
	}
	r, err := ecosystem.NewRecorder(&own)
	if err != nil {
		return nil, err
	}
	gone := slices.Clone(own.Upstreams)
	for i := range gone {
		gone[i].URL, gone[i].Header = "", nil
	}
	s := &Session{
		Handler: r, Refusals: r.Refusals, Recorder: r, Adapter: a,
		Setup: a.Setup(own.Door, ecosystem.Base, own.Upstreams), Recorded: a.Setup(own.Door, ecosystem.Base, gone),
	}
	return s, s.open(own.Door, r)
}

// Replay returns the session of a recording, whose setup needs no adapter. open opens a file by its B3 hash.
func Replay(recording *ecosystem.Recording, open func(pir.Hash) (io.ReadSeekCloser, error)) (*Session, error) {
	a, err := Named(recording.Ecosystem)
	if err != nil {
		return nil, err
	}
	r, err := ecosystem.NewReplayer(recording, &ecosystem.ReplayOptions{Adapter: a, Open: open})
	if err != nil {
		return nil, err
	}
	s := &Session{Handler: r, Refusals: r.Problems, Setup: recording.Setup}
	return s, s.open(recording.Door, r)
}

// open puts the proxy with its own authority before a handler, where the door is the proxy's.
func (s *Session) open(door ecosystem.Door, h ecosystem.Handler) error {
	if door != ecosystem.DoorProxy {
		return nil
	}
	authority, err := ecosystem.NewAuthority()
	if err != nil {
		return err
	}
	s.Handler = ecosystem.NewProxy(h, authority)
	at := ecosystem.SetupDir + "/" + ecosystem.CAFile
	s.Setup.Join(ecosystem.Setup{Env: ecosystem.SetupProxy(ecosystem.Base, at), Files: map[string]string{ecosystem.CAFile: string(authority.PEM())}})
	return nil
}
