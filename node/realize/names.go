package realize

import (
	"context"

	"github.com/MordragT/nuka/pir"
)

// described reports whether the PIR of a PID is known here.
func (r *Realizer) described(id pir.PID) bool {
	_, _, err := r.o.Store.PIR(id)
	return err == nil
}

// maxLearned bounds the bytes of PIRs that one request keeps of those that others give.
const maxLearned = 64 << 20

// askPIRs learns PIRs from others and keeps them, without origins: such a PIR tells a name to judge by. It is not built from, as
// nobody here has asked for that build (graph.pir).
func (g *graph) askPIRs(ctx context.Context, ids []pir.PID) {
	if g.learned.Load() >= maxLearned {
		return
	}
	pirs, err := g.r.o.Peers.PIRs(ctx, ids)
	if err != nil && ctx.Err() == nil {
		g.r.log.Warn("ask for PIRs", "pids", len(ids), "error", err)
	}
	for _, id := range ids {
		canonical, given := pirs[id]
		if !given || g.learned.Add(int64(len(canonical))) > maxLearned {
			continue
		}
		_, err := pir.Decode(canonical)
		if err == nil {
			err = g.r.o.Store.PutPIR(context.WithoutCancel(ctx), id, canonical, nil) // which compares the hash
		}
		if err != nil {
			g.r.log.Warn("keep a PIR", "pid", id, "error", err)
		}
	}
}
