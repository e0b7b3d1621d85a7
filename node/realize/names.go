package realize

import (
	"context"

	"github.com/MordragT/nuka/pir"
)

// described reports whether the store has the PIR of a PID.
func (r *Realizer) described(id pir.PID) bool {
	_, _, err := r.o.Store.PIR(id)
	return err == nil
}

// maxLearned bounds the bytes of peers' PIRs that one request keeps.
const maxLearned = 64 << 20

// askPIRs asks peers for PIRs and keeps them, without origins. Such a PIR gives the name by which the policy judges the PID. The node does not
// build from it, because no user of this node has asked for that build (graph.pir).
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
			err = g.r.o.Store.PutPIR(context.WithoutCancel(ctx), id, canonical, nil) // PutPIR compares the hash
		}
		if err != nil {
			g.r.log.Warn("keep a PIR", "pid", id, "error", err)
		}
	}
}
