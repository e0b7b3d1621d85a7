package realize

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// check repeats a wanted build and compares its output with the content in the store.
// If they differ, check returns an error that names the first differing path, and signs nothing.
func (g *graph) check(ctx context.Context, id pir.PID, t *task) error {
	d := g.known.description(id)
	if d.err != nil {
		return d.err
	}
	p := d.p
	if !p.Kind.Builds() {
		return nil // the hash of a fetch fixes its content, and a merge is deterministic
	}
	contents, err := g.inputs(ctx, p)
	if err != nil {
		return err
	}
	unlock, err := g.r.locks.lock(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	w := &work{g: g, id: id, pir: p, canonical: d.canonical, origins: d.origins, contents: contents, name: label(p, d.origins), again: true}
	again, err := w.run(ctx)
	if err != nil {
		return err
	}
	if again.cid != t.cid {
		where, err := firstDifference(ctx, g.r.o.Store, t.cid, again.cid)
		if err != nil {
			return err
		}
		return protocol.Errorf(protocol.Differs, "check %s: the rebuild has other content: %s\n  first %s\n  again %s", w.name, where, t.cid, again.cid).
			WithHint("compare them: nuka ls %s", again.cid)
	}
	t.way = protocol.Checked
	g.event(protocol.Event{Kind: protocol.EventDone, PID: id, Name: w.name, What: p.Kind, Way: protocol.Checked, CID: t.cid.String(), CPU: again.cpu.Milliseconds()})
	return nil
}

// firstDifference walks two trees side by side.
func firstDifference(ctx context.Context, store Trees, a, b cid.CID) (string, error) {
	nextA, stopA := iter.Pull2(store.Entries(ctx, a))
	defer stopA()
	nextB, stopB := iter.Pull2(store.Entries(ctx, b))
	defer stopB()
	for {
		ea, errA, okA := nextA()
		eb, errB, okB := nextB()
		switch {
		case errA != nil:
			return "", errA
		case errB != nil:
			return "", errB
		case !okA && !okB:
			return "nothing that differs was found", nil
		case !okB || okA && before(ea.Path, eb.Path):
			return fmt.Sprintf("%s is gone", ea.Path), nil
		case !okA || before(eb.Path, ea.Path):
			return fmt.Sprintf("%s is new", eb.Path), nil
		case ea.Kind == cas.Dir && eb.Kind == cas.Dir:
			continue // its entries come next
		case ea.CID != eb.CID:
			return fmt.Sprintf("%s differs (%d and %d bytes)", ea.Path, ea.Size, eb.Size), nil
		}
	}
}

// before reports whether a comes before b in a walk that visits the entries of each folder right after the folder.
func before(a, b string) bool {
	return strings.ReplaceAll(a, "/", "\x00") < strings.ReplaceAll(b, "/", "\x00")
}
