//go:build unix

package netd

import (
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
)

// When a net daemon dies, the next one listens at the same addresses, and the calls that were running complete.
func TestDies(t *testing.T) {
	a, b := start(t, true, 1, nil), start(t, true, 2, nil)
	root := tree(t, a.system, 8)
	if err := b.Connect(t.Context(), a.ticket()); err != nil {
		t.Fatal(err)
	}
	daemon := b.Network.(*Daemon)
	before := b.Addresses()
	var puts, kills int
	b.system.mu.Lock()
	b.system.put = func() {
		b.system.mu.Lock()
		defer b.system.mu.Unlock()
		if puts++; puts%6 == 0 && kills < 2 {
			kills++
			if err := syscall.Kill(daemon.Pid(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	b.system.mu.Unlock()
	if err := b.Fetch(t.Context(), root, 0, nil); err != nil || kills != 2 {
		t.Fatalf("got %v after %d kills", err, kills)
	}
	if after := b.Addresses(); !cmp.Equal(before, after) {
		t.Errorf("it listens at %v, and before at %v", after, before)
	}
	// The system daemon kills a net daemon that no longer responds.
	if err := syscall.Kill(daemon.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	daemon.mu.Lock()
	p := daemon.now
	daemon.mu.Unlock()
	p.ping(t.Context(), 50*time.Millisecond)
	id := pir.Sum([]byte("a package"))
	a.system.say(a.key, id)
	if said, err := b.Statements(t.Context(), []pir.PID{id}); err != nil || len(said) != 1 {
		t.Errorf("got %v, %v", said, err)
	}
}
