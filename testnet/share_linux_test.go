package testnet

import (
	"strings"
	"testing"
	"time"
)

// TestFoundByMDNS has two machines on one network that know only a key of each other, and find each other by mDNS.
func TestFoundByMDNS(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node("{}"), n.Node("{}")
	a.Must(packages, "share", "./app.nu")
	b.Must(packages, "trust", "add", a.Key(), "--yes")
	r := b.Nuka(packages, "run", "./app.nu")
	if r.Code != 0 || r.Out != "hello from app" || strings.Contains(r.Err, "built") {
		t.Errorf("got %d %q, %s\nlog of a: %s\nlog of b: %s", r.Code, r.Out, r.Err, a.Log(), b.Log())
	}
	t.Logf("found and run in %s", r.Took)
}

// TestSilence checks that a node sends no packet if it has no reason to, or if it has everything that is requested of it.
func TestSilence(t *testing.T) {
	n := New(t, programs)
	a := n.Node("{}")
	for range 2 { // once without a daemon and a store, once with them
		a.Must(packages, "run", "./app.nu", "--offline")
		if sent := a.Sent(); sent != 0 {
			t.Fatalf("got %d packets sent offline, want none", sent)
		}
	}
	a.Must(packages, "build", "./app.nu")
	if sent := a.Sent(); sent != 0 {
		t.Errorf("got %d packets sent, want none", sent)
	}
	a.Must(packages, "share", "./app.nu")
	for range 100 { // until it has sent something, which proves that the counter works
		if a.Sent() != 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Error("got no packet of a node that shares")
}
