package bus

import (
	"errors"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
)

func TestBudget(t *testing.T) {
	b := &budget{}
	if err := b.reserve(maxHeld); err != nil {
		t.Fatal(err)
	}
	if err := b.reserve(1); !errors.Is(err, errHeld) {
		t.Errorf("got %v, want %v", err, errHeld)
	}
	b.release(1)
	if err := b.reserve(1); err != nil {
		t.Error(err)
	}
}

// TestBudgetReturns sends more than the budget, in passed and refused messages: each gives its share back.
func TestBudgetReturns(t *testing.T) {
	bus := daemon(t)
	peer(t, bus, "org.test.Talk")
	filter, log := proxy(t, bus, policy())
	c := client(t, filter)
	large := strings.Repeat("x", 4<<20)
	var got string
	for range maxHeld>>22 + 2 {
		if err := c.Object("org.test.Talk", "/org/test").Call(echoes, 0, large).Store(&got); err != nil || got != large {
			t.Fatalf("got %d bytes, %v: %s", len(got), err, log)
		}
		if err := c.Object("org.test.Hidden", "/org/test").Call(echoes, 0, large).Err; errorName(err) != "ServiceUnknown" {
			t.Fatalf("got %v: %s", err, log)
		}
		if err := c.BusObject().Call(busName+".AddMatch", dbus.FlagNoReplyExpected, large).Err; err != nil {
			t.Fatal(err)
		}
	}
}
