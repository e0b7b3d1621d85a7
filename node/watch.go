package node

import (
	"context"
	"os"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// watchDelay is how long the node answers before it looks at the feeds of advisories, and how long it waits after a look that failed.
const watchDelay = 5 * time.Minute

// watch calls look whenever the setting watch has passed since anybody last looked at the feeds, until ctx ends. Without a feed it looks at nothing.
func (h *handler) watch(ctx context.Context, look func(context.Context) error) {
	every := h.config.Get().Watch // the configuration does not change
	if look == nil || every == 0 {
		return
	}
	rest := min(watchDelay, every)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		if _, err := os.Stat(h.home.Feeds()); err != nil || !watchDue(h.home, every) {
			continue
		}
		if err := look(ctx); err != nil && ctx.Err() == nil {
			h.log.Warn("look at the feeds of advisories", "error", err)
		}
	}
}

// watchDue reports whether the last look was so long ago, or in the future.
func watchDue(home protocol.Home, every time.Duration) bool {
	info, err := os.Stat(home.Watched())
	if err != nil {
		return true
	}
	since := time.Since(info.ModTime())
	return since >= every || since < 0
}
