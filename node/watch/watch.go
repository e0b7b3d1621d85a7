// Package watch has a daemon look at the feeds of advisories that its user follows.
package watch

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// delay is how long the daemon answers before it looks, and how long it waits before it asks again whether a look is due.
const delay = 5 * time.Minute

// Run calls look whenever a time has passed since anybody last looked at the feeds of a home, until ctx ends. It never does if the time is 0, look is
// nil, or the user follows no feed.
func Run(ctx context.Context, home protocol.Home, every time.Duration, look func(context.Context) error, log *slog.Logger) {
	if look == nil || every == 0 {
		return
	}
	rest := min(delay, every)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(rest):
		}
		if _, err := os.Stat(home.Feeds()); err != nil || !due(home, every) {
			continue
		}
		if err := look(ctx); err != nil && ctx.Err() == nil {
			log.Warn("look at the feeds of advisories", "error", err)
		}
	}
}

// due reports whether the last look was so long ago, or in the future.
func due(home protocol.Home, every time.Duration) bool {
	info, err := os.Stat(home.Watched())
	if err != nil {
		return true
	}
	since := time.Since(info.ModTime())
	return since >= every || since < 0
}
