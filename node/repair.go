package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// verify answers OpVerify.
func (h *handler) verify(ctx context.Context, r *request, a protocol.VerifyArgs) (*protocol.Verified, error) {
	v := &protocol.Verified{Problems: []string{}, Repaired: []string{}, Broken: []string{}}
	err := h.store.Verify(ctx, func(p cas.Problem) {
		v.Problems = append(v.Problems, p.String())
		r.Event(protocol.Event{Kind: protocol.EventNote, Text: p.String()})
	})
	if err != nil {
		return nil, err
	}
	if a.Repair {
		if v.Repaired, v.Broken, err = h.repair(ctx, a.Offline, r.Event); err != nil {
			return nil, err
		}
	}
	stats, err := h.store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	v.Files, v.Bytes = int64(stats.Files), stats.Bytes
	return v, nil
}

// repair makes the content of packages whole whose files are damaged or missing: it receives the files from peers by claims that count, or else
// fetches or builds the package again. It returns the repaired packages, and those that it could not repair.
func (h *handler) repair(ctx context.Context, offline bool, event func(protocol.Event)) (repaired, broken []string, err error) {
	h.repairing.Lock() // two repairs of one package would hinder each other
	defer h.repairing.Unlock()
	repaired, broken = []string{}, []string{}
	whole := map[cid.CID]bool{}
	damaged := map[cid.CID][]pir.PID{}
	for b, err := range h.store.Bindings() {
		if err != nil {
			return repaired, broken, err
		}
		if _, known := whole[b.CID]; !known {
			missing, err := h.store.Missing(ctx, b.CID)
			if ctx.Err() != nil {
				return repaired, broken, ctx.Err()
			}
			whole[b.CID] = err == nil && len(missing) == 0
		}
		if !whole[b.CID] {
			damaged[b.CID] = append(damaged[b.CID], b.PID)
		}
	}
	for content, ids := range damaged {
		err := h.repairContent(ctx, ids, content, offline, event)
		name := ids[0].Short()
		for _, id := range ids {
			if f := h.found(id); f.Name != "" {
				name = id.Short() + " " + f.Name
			}
		}
		switch {
		case ctx.Err() != nil:
			return repaired, broken, ctx.Err()
		case err != nil:
			broken = append(broken, fmt.Sprintf("%s: %v", name, err))
		default:
			repaired = append(repaired, name)
		}
	}
	return repaired, broken, nil
}

// repairContent realizes one of the packages again whose content is not whole. All of them are unbound meanwhile: early cutoff would keep the
// damaged content.
func (h *handler) repairContent(ctx context.Context, ids []pir.PID, content cid.CID, offline bool, event func(protocol.Event)) (err error) {
	lease := h.store.Lease("a repair")
	defer lease.Release()
	lease.Keep(content)
	lease.KeepPIDs(ids...)
	var claims []protocol.Attestation
	for _, id := range ids {
		for at, err := range h.store.Attestations(id) {
			if err != nil {
				return err
			}
			if at.CID == content {
				claims = append(claims, at)
				break
			}
		}
	}
	defer func() {
		for _, claim := range claims {
			if _, e := h.store.CID(claim.PID); e != nil {
				err = errors.Join(err, h.store.Bind(context.WithoutCancel(ctx), claim))
			}
		}
	}()
	for _, claim := range claims {
		if err := h.store.Unbind(ctx, claim.PID); err != nil {
			return err
		}
	}
	err = protocol.Errorf(protocol.NotFound, "no signer says which package has it")
	for _, claim := range claims {
		if err != nil { // without a description, such as of a resolved PID, or with another reason why it cannot be made
			_, err = h.realizer.Realize(ctx, &realize.Request{Wanted: []pir.PID{claim.PID}, Local: true, Offline: offline, Lease: lease, Event: event})
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	missing, e := h.store.Missing(ctx, content)
	switch {
	case e != nil:
		return e
	case len(missing) == 0:
		return nil
	case err == nil:
		err = protocol.Errorf(protocol.Differs, "it has other content now, and %d files of the old content are missing", len(missing))
	}
	return err
}

// healDelay is how long the node waits for further damage before it repairs the packages that are concerned.
const healDelay = 5 * time.Second

// heal repairs packages in the background after the store has set a damaged file aside. It joins no swarm for that: without a connection to
// a peer it only fetches and builds.
func (h *handler) heal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.damaged:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(healDelay):
		}
		repaired, broken, err := h.repair(ctx, len(h.swarms.Peers()) == 0, func(protocol.Event) {})
		h.log.Warn("repaired packages with damaged files", "repaired", repaired, "broken", broken, "error", err)
	}
}

// stored is told what happens to the store. It must not call the store.
func (h *handler) stored(e cas.Event) {
	h.log.Warn("store", "event", e.String())
	if _, ok := e.(cas.Quarantined); ok {
		select {
		case h.damaged <- struct{}{}:
		default:
		}
	}
}
