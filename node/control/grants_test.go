package control

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// remote runs a daemon at which light peers of other machines may attach.
func remote(t *testing.T, grants *Grants, h handlerFunc) *protocol.Ticket {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	dir := t.TempDir()
	enrolled, err := OpenEnrolled(filepath.Join(dir, "enrolled"))
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Serve(ctx, &ServerOptions{
			Dir: dir, Key: key, Enrolled: enrolled, Handler: h, Listen: address, Grants: grants, Stall: 3 * time.Second, Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	return &protocol.Ticket{Node: protocol.KeyOf(key), Addresses: []string{"/ip4/127.0.0.1/udp/" + port + "/quic-v1"}}
}

func openGrants(t *testing.T) *Grants {
	t.Helper()
	g, err := OpenGrants(filepath.Join(t.TempDir(), "grants"))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestAttach(t *testing.T) {
	grants := openGrants(t)
	secret, err := grants.Add([]protocol.Right{protocol.RightRun}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan Actor, 2)
	ticket := remote(t, grants, func(_ context.Context, a Actor, _ *Call) (any, error) {
		called <- a
		return "yes", nil
	})
	ticket.Right = secret
	key := newKey(t)
	c, err := Attach(t.Context(), ticket, key)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got string
	if err := c.Call(t.Context(), protocol.OpRead, nil, &got, nil); err != nil || got != "yes" {
		t.Fatalf("got %q, %v", got, err)
	}
	// A new process reads the written file, and a removal also applies to an open connection.
	again, err := OpenGrants(grants.path)
	if err != nil || len(again.List(time.Now())) != 1 {
		t.Fatalf("got %v, %v; want one grant", again, err)
	}
	if err := grants.Remove(grantID(secret)[:8]); err != nil {
		t.Fatal(err)
	}
	if err := c.Call(t.Context(), protocol.OpRead, nil, &got, nil); err != nil {
		t.Fatal(err)
	}
	first, second := <-called, <-called
	if first.Local || first.Key != protocol.KeyOf(key) || !slices.Equal(first.May, []protocol.Right{protocol.RightRun}) || len(second.May) != 0 {
		t.Errorf("got actors %+v, %+v", first, second)
	}
	if err := grants.Remove("00"); protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("got %v, want not found", err)
	}
}

func TestAttachIsRefused(t *testing.T) {
	grants := openGrants(t)
	expired, err := grants.Add(protocol.Rights(), time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ticket := remote(t, grants, func(context.Context, Actor, *Call) (any, error) { return "secret", nil })
	for name, right := range map[string][]byte{"guessed": make([]byte, rightSize), "expired": expired} {
		ticket.Right = right
		if c, err := Attach(t.Context(), ticket, newKey(t)); protocol.CodeOf(err) != protocol.Denied {
			t.Errorf("%s: got %v, %v; want denied", name, c, err)
		}
	}
	// The daemon does not answer a call without a right.
	address, err := udpAddress(ticket.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := dialAt(t.Context(), address, "127.0.0.1:0", ticket.Node, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got string
	if err := c.Call(t.Context(), protocol.OpRead, nil, &got, nil); protocol.CodeOf(err) != protocol.Denied || got != "" {
		t.Errorf("got %q, %v; want denied", got, err)
	}
	// Nor does the client accept another node in place of the one in the ticket.
	ticket.Node, ticket.Right = protocol.KeyOf(newKey(t)), expired
	if _, err := Attach(t.Context(), ticket, newKey(t)); protocol.CodeOf(err) != protocol.Unavailable {
		t.Errorf("another node: got %v", err)
	}
	ticket.Addresses = []string{"/ip4/127.0.0.1/tcp/1"}
	if _, err := Attach(t.Context(), ticket, newKey(t)); err == nil || !strings.Contains(err.Error(), "not an address for control") {
		t.Errorf("address: got %v", err)
	}
	if _, err := Attach(t.Context(), &protocol.Ticket{}, newKey(t)); protocol.CodeOf(err) != protocol.Invalid || errors.Is(err, context.Canceled) {
		t.Errorf("no right: got %v", err)
	}
}
