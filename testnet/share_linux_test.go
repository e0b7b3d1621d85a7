package testnet

import (
	"strings"
	"testing"
)

// By mDNS alone: two machines of one network that know nothing of each other but a key.
func TestFoundByMDNS(t *testing.T) {
	n := New(t, programs)
	a, b := n.Node("{}"), n.Node("{}")
	a.Must(packages, "share", "./app.nu")
	b.Must(packages, "trust", "add", a.Key())
	r := b.Nuka(packages, "run", "./app.nu")
	if r.Code != 0 || r.Out != "hello from app" || strings.Contains(r.Err, "built") {
		t.Errorf("got %d %q, %s\nlog of a: %s\nlog of b: %s", r.Code, r.Out, r.Err, a.Log(), b.Log())
	}
	t.Logf("found and run in %s", r.Took)
}

// No packet leaves a node that has no reason to, nor one that has all it is asked for.
func TestSilence(t *testing.T) {
	n := New(t, programs)
	a := n.Node("{}")
	// Whoever comes up on a network says so itself: what follows must add nothing.
	run := func() {
		a.Must(packages, "run", "./app.nu", "--offline")
	}
	run()
	a.settle()
	_, before := a.Traffic()
	run()
	a.Must(packages, "build", "./app.nu")
	if _, after := a.Traffic(); after != before {
		t.Errorf("%d packets were sent or received", after-before)
	}
}
