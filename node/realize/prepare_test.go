package realize

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

// If the preparation of a program takes longer than prepareNotice, the node sends an event for its start and one for its end; else none.
func TestPrepareIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []protocol.EventKind
		w := &work{g: &graph{req: &Request{Event: func(e protocol.Event) {
			told = append(told, e.Kind)
			if e.Name != "prepare clang for this machine, once" || e.PID.IsZero() {
				t.Errorf("got %+v", e)
			}
		}}}}
		for took, want := range map[time.Duration][]protocol.EventKind{
			prepareNotice / 2: nil,
			prepareNotice * 2: {protocol.EventStart, protocol.EventDone},
		} {
			told = nil
			done := w.prepare("clang")
			time.Sleep(took)
			done()
			time.Sleep(2 * prepareNotice)
			if d := cmp.Diff(want, told); d != "" {
				t.Errorf("after %s (-want +got)\n%s", took, d)
			}
		}
	})
}

// Two builds that wait for one compilation are told of it once.
func TestPrepareIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []protocol.EventKind
		g := &graph{req: &Request{Event: func(e protocol.Event) { told = append(told, e.Kind) }}}
		first := (&work{g: g}).prepare("clang")
		time.Sleep(prepareNotice / 2)
		second := (&work{g: g}).prepare("clang")
		time.Sleep(2 * prepareNotice)
		first()
		time.Sleep(time.Second)
		if d := cmp.Diff([]protocol.EventKind{protocol.EventStart}, told); d != "" {
			t.Errorf("while one waits (-want +got)\n%s", d)
		}
		second()
		if d := cmp.Diff([]protocol.EventKind{protocol.EventStart, protocol.EventDone}, told); d != "" {
			t.Errorf("at the end (-want +got)\n%s", d)
		}
	})
}
