package nu

import (
	"context"
	"sync/atomic"
	"testing"
)

// TestRunAllTakesSlots checks that a build runs one program in its own slot, and others in slots that it takes and releases. If no slot is free,
// the build continues with its own.
func TestRunAllTakesSlots(t *testing.T) {
	for free, most := range map[int32]int32{0: 1, 1: 2, 9: 4} {
		var taken, now, peak atomic.Int32
		files := map[string]string{"packages/tool.nu": toolPackage, "a.nu": `use tool.nu
export def main [] { derivation {name: a, version: "1", packages: [(tool)], build: {|b| mkdir $b.out
  1..12 | each {|i| [tool write $"f($i)" x] } | run-all | ignore } } }`}
		res, err := eval(t, files, "/work/a.nu")
		if err != nil {
			t.Fatal(err)
		}
		got := buildWith(t, t.Context(), res, nil, func(s *BuildSpec) {
			s.Jobs = 4
			s.Slot = func(ctx context.Context) (func(), error) {
				if taken.Add(1) > free {
					taken.Add(-1)
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return func() { taken.Add(-1) }, nil
			}
			event := s.Event
			s.Event = func(e BuildEvent) {
				if event(e); e.Ended {
					now.Add(-1)
				} else if n := now.Add(1); n > peak.Load() {
					peak.Store(n)
				}
			}
		})
		if got.err != nil || len(got.events) != 24 {
			t.Errorf("%d slots: got %v after %d events", free, got.err, len(got.events))
		}
		if peak.Load() > most || taken.Load() != 0 {
			t.Errorf("%d slots: %d programs at once, want %d at most; %d slots were not given back", free, peak.Load(), most, taken.Load())
		}
	}
}
