package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// TestWatchDue says when the node looks at the feeds: not again before the interval has passed, whoever looked, and at once if the clock was turned back.
func TestWatchDue(t *testing.T) {
	home := protocol.Home{Data: t.TempDir()}
	if !watchDue(home, time.Hour) {
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
		if got := watchDue(home, time.Hour); got != c.want {
			t.Errorf("%v after the last look: %v", c.since, got)
		}
	}
}
