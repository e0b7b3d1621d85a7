package node

import (
	"context"
	"time"

	"github.com/MordragT/nuka/cas"
)

// spaceEvery is how often the node looks at the free space, besides at the end of calls.
const spaceEvery = time.Minute

// watchSpace collects when less space is free than the setting gc demands.
func (h *handler) watchSpace(ctx context.Context) {
	tick := time.NewTicker(spaceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.callEnded:
		}
		if err := h.makeRoom(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("collect because little space is free", "error", err)
		}
	}
}

// makeRoom frees space as the setting gc says.
func (h *handler) makeRoom(ctx context.Context) error {
	rule := h.config.Get().GC
	free, known := h.store.Free()
	if rule == nil || !known || free >= rule.MinFree {
		return nil
	}
	o := &cas.CollectOptions{Max: rule.MaxFree - free}
	if rule.Keep > 0 {
		o.Recent = time.Now().Add(-rule.Keep)
	}
	got, err := h.runCollection(ctx, o)
	if got.Blobs > 0 || err != nil {
		h.log.Info("collected", "free", free, "freed", got.Bytes, "packages", got.Packages, "error", err)
	}
	return err
}
