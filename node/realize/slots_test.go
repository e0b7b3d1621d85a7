package realize

import (
	"fmt"
	"testing"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// TestWaits builds eight packages in two slots. Six builds find no free slot; the node reports each of these as waiting, once, before it starts.
func TestWaits(t *testing.T) {
	f := newFixture(t)
	f.builder.gate, f.builder.entered = make(chan struct{}), make(chan pir.PID, 16)
	deps := map[string]pir.PID{}
	for i := range 8 {
		name := fmt.Sprintf("d%d", i)
		deps[name] = f.build(name, name+"=x", nil)
	}
	req := f.request(f.build("top", "t=t", deps))
	req.Jobs = 2
	waiting, told := 0, make(chan struct{})
	event := req.Event
	req.Event = func(e protocol.Event) {
		event(e)
		f.mu.Lock()
		defer f.mu.Unlock()
		if e.Kind == protocol.EventWait {
			if waiting++; waiting == 6 {
				close(told)
			}
		}
	}
	done := make(chan error)
	go func() { _, err := f.r.Realize(t.Context(), req); done <- err }()
	<-told // no build has ended
	close(f.builder.gate)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	waited, started := map[pir.PID]int{}, map[pir.PID]bool{}
	for _, e := range f.events {
		switch e.Kind {
		case protocol.EventWait:
			waited[e.PID]++
			if started[e.PID] || e.Name == "" || e.What != pir.Build {
				t.Errorf("got %+v after its start or without a name", e)
			}
		case protocol.EventStart:
			started[e.PID] = true
		}
	}
	for id, n := range waited {
		if n != 1 || !started[id] {
			t.Errorf("%s: %d reports, started: %v", id.Short(), n, started[id])
		}
	}
	if len(waited) != 6 {
		t.Errorf("%d packages waited, want 6", len(waited))
	}
}
