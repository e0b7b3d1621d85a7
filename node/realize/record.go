package realize

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Registry answers the package manager of a native build at ecosystem.Base, in the network of the build.
type Registry struct {
	http.Handler
	// Setup points the package manager at it.
	Setup ecosystem.Setup
	// Sources gets the contents of the build's sources before the build begins; nil does nothing.
	Sources func(ctx context.Context, contents []cid.CID) error
	// Refusals returns what programs asked and did not get, for the build's log; nil: nothing.
	Refusals func() []string
}

// Record makes the inputs of a native build present, and runs the build while a registry answers its package manager and records. The output is thrown away:
// nothing is bound, and nothing signed, because what the registry answered depends on the day.
func (r *Realizer) Record(ctx context.Context, req *Request, registry *Registry) error {
	req, release := r.leased(req)
	defer release()
	if len(req.Wanted) != 1 {
		return protocol.Errorf(protocol.Invalid, "record: want one package, got %d", len(req.Wanted))
	}
	id := req.Wanted[0]
	d := newKnown(r, req).description(id)
	if d.err != nil {
		return d.err
	}
	if d.p.Kind != pir.Native || d.p.Recording.IsZero() {
		return protocol.Errorf(protocol.Invalid, "record: %s has no recording", d.name).WithHint("a native build with the field recording has one")
	}
	inner := *req
	inner.Wanted = d.p.Inputs()
	g, err := newGraph(r, &inner)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer g.running.Wait()
	defer cancel()
	if _, err := g.plan(ctx); err != nil {
		return err
	}
	contents, err := g.inputs(ctx, d.p)
	if err != nil {
		return err
	}
	if err := g.refer(ctx, d.p.Tools(), id); err != nil {
		return err
	}
	if registry.Sources != nil {
		var sources []cid.CID
		for _, src := range append(slices.Collect(maps.Values(d.p.Src.Named)), d.p.Src.One) {
			if !src.IsZero() {
				sources = append(sources, contents[src])
			}
		}
		if err := registry.Sources(ctx, sources); err != nil {
			return err
		}
	}
	w := &work{g: g, id: id, pir: d.p, canonical: d.canonical, contents: contents, name: d.name, record: registry}
	_, err = w.run(ctx)
	return err
}

// Keep imports a downloaded file, and binds to it the PIDs of the fetches that name it by one of its hashes, which the caller has compared. So another recording, and
// another node, finds it before it asks a registry.
func (r *Realizer) Keep(ctx context.Context, dir, name string, lease *cas.Lease, hashes ...pir.Hash) (cid.CID, error) {
	content, err := r.Import(ctx, dir, name, lease)
	if err != nil {
		return cid.CID{}, err
	}
	size, err := r.size(ctx, content)
	if err != nil {
		return cid.CID{}, err
	}
	for _, h := range append(hashes, pir.HashOf(content)) {
		if h.IsZero() {
			continue
		}
		id, canonical, err := pir.FetchFile(h)
		if err != nil {
			return cid.CID{}, err
		}
		lease.KeepPIDs(id)
		if have, ok, err := r.present(id); err == nil && ok && have == content {
			continue
		}
		if _, _, err := r.o.Store.PIR(id); errors.Is(err, cas.ErrNotFound) {
			if err := r.o.Store.PutPIR(ctx, id, canonical, nil); err != nil {
				return cid.CID{}, err
			}
		}
		if err := r.bind(ctx, id, word{content, nil, size}, pir.PID{}); err != nil {
			return cid.CID{}, err
		}
	}
	return content, nil
}

// size returns the bytes of all files of a tree.
func (r *Realizer) size(ctx context.Context, root cid.CID) (size int64, err error) {
	for e, err := range r.o.Store.Entries(ctx, root) {
		if err != nil {
			return 0, err
		}
		size += e.Size
	}
	return size, nil
}
