package watch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// TestDue says when the daemon looks at the feeds: not again before the interval has passed, whoever looked, and at once if the clock was turned back.
func TestDue(t *testing.T) {
	home := protocol.Home{Data: t.TempDir()}
	if !due(home, time.Hour) {
		t.Error("nobody has ever looked")
	}
	if err := os.MkdirAll(filepath.Dir(home.Watched()), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		since time.Duration
		want  bool
	}{{time.Minute, false}, {61 * time.Minute, true}, {-time.Minute, true}} {
		at := time.Now().Add(-c.since)
		if err := os.WriteFile(home.Watched(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(home.Watched(), at, at); err != nil {
			t.Fatal(err)
		}
		if got := due(home, time.Hour); got != c.want {
			t.Errorf("%v after the last look: %v", c.since, got)
		}
	}
}

// TestRun looks once an interval while there is a feed, and goes on after a look that failed.
func TestRun(t *testing.T) {
	home := protocol.Home{Data: t.TempDir()}
	if err := os.MkdirAll(filepath.Dir(home.Watched()), 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var looks []time.Duration
		begun := time.Now()
		look := func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			looks = append(looks, time.Since(begun))
			now := time.Now()
			if err := errors.Join(os.WriteFile(home.Watched(), nil, 0o600), os.Chtimes(home.Watched(), now, now)); err != nil {
				t.Error(err)
			}
			return errors.New("no network")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Run(ctx, home, 24*time.Hour, look, slog.New(slog.DiscardHandler))
		}()
		time.Sleep(2 * time.Hour)
		mu.Lock()
		if len(looks) != 0 {
			t.Errorf("without a feed: %v", looks)
		}
		mu.Unlock()
		if err := os.WriteFile(home.Feeds(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(71 * time.Hour)
		cancel()
		<-done
		if len(looks) != 3 || looks[0] > 2*time.Hour+delay || looks[1]-looks[0] != 24*time.Hour {
			t.Errorf("looks after %v", looks)
		}
		Run(t.Context(), home, 0, look, nil) // never
	})
}
