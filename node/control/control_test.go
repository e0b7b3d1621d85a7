package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

type handlerFunc func(ctx context.Context, actor Actor, call *Call) (any, error)

func (f handlerFunc) Handle(ctx context.Context, actor Actor, call *Call) (any, error) {
	return f(ctx, actor, call)
}

func newKey(t *testing.T) ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serve runs a daemon until the test ends and returns its folder and a function that stops it.
func serve(t *testing.T, h handlerFunc, grace time.Duration) (dir string, stop func() error) {
	t.Helper()
	return serveIn(t, t.TempDir(), "", h, grace)
}

// serveIn is serve for a home, in a folder that may not exist yet.
func serveIn(t *testing.T, dir, home string, h handlerFunc, grace time.Duration) (_ string, stop func() error) {
	t.Helper()
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	enrolled, err := OpenEnrolled(filepath.Join(t.TempDir(), "enrolled"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Serve(ctx, &ServerOptions{
			Dir: dir, Home: home, Key: newKey(t), Enrolled: enrolled, Handler: h, Grace: grace, Ready: func() { close(ready) },
		})
	}()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	return dir, stop
}

func dial(t *testing.T, dir string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), dir, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCall(t *testing.T) {
	dir, _ := serve(t, func(_ context.Context, _ Actor, call *Call) (any, error) {
		switch call.Op {
		case "echo":
			call.Event(protocol.Event{Kind: protocol.EventNote, Text: "one"})
			call.Event(protocol.Event{Kind: protocol.EventNote, Text: "two"})
			return call.Args, nil
		case "upload":
			b, err := io.ReadAll(call.Data)
			return len(b), err
		case "download":
			_, err := call.Reply.Write(bytes.Repeat([]byte("x"), 3*dataSize+1))
			return nil, err
		case "panic":
			panic("boom")
		}
		return nil, protocol.Errorf(protocol.NotFound, "no op %s", call.Op).WithHint("look")
	}, 0)
	c := dial(t, dir)
	var events []string
	var result map[string]int
	err := c.Call(t.Context(), "echo", map[string]int{"a": 1}, &result,
		&CallOptions{Event: func(e protocol.Event) { events = append(events, e.Text) }})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "two"}, events); diff != "" || result["a"] != 1 {
		t.Errorf("result %v, events %s", result, diff)
	}
	var n int
	big := 5<<20 + 3
	if err := c.Call(t.Context(), "upload", nil, &n, &CallOptions{Data: bytes.NewReader(make([]byte, big))}); err != nil || n != big {
		t.Errorf("upload: %d, %v; want %d", n, err, big)
	}
	var down bytes.Buffer
	if err := c.Call(t.Context(), "download", nil, nil, &CallOptions{Reply: &down}); err != nil || down.Len() != 3*dataSize+1 {
		t.Errorf("download: %d bytes, %v", down.Len(), err)
	}
	err = c.Call(t.Context(), "nope", nil, nil, nil)
	var coded *protocol.Error
	if !errors.As(err, &coded) || coded.Code != protocol.NotFound || coded.Hint != "look" {
		t.Errorf("got %#v, want not-found with its hint", err)
	}
	if err := c.Call(t.Context(), "panic", nil, nil, nil); protocol.CodeOf(err) != protocol.Internal {
		t.Errorf("got %v, want internal", err)
	}
	if err := c.Call(t.Context(), "echo", map[string]int{"a": 2}, &result, nil); err != nil || result["a"] != 2 {
		t.Errorf("after a fault: %v, %v", result, err)
	}
}

func TestManyAtOnce(t *testing.T) {
	dir, _ := serve(t, func(_ context.Context, _ Actor, call *Call) (any, error) { return call.Args, nil }, 0)
	c := dial(t, dir)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			var got int
			if err := c.Call(t.Context(), "echo", i, &got, nil); err != nil || got != i {
				t.Errorf("got %d, %v; want %d", got, err, i)
			}
		})
	}
	wg.Wait()
}

// TestCancel checks that a call's context at the daemon ends when the caller cancels the call or vanishes.
func TestCancel(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error)
	dir, _ := serve(t, func(ctx context.Context, _ Actor, _ *Call) (any, error) {
		started <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}, 0)
	c := dial(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- c.Call(ctx, "wait", nil, nil, nil) }()
	<-started
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("caller got %v, want canceled", err)
	}
	if err := <-ended; err == nil {
		t.Error("the call did not end")
	}
	gone := dial(t, dir)
	go func() { result <- gone.Call(t.Context(), "wait", nil, nil, nil) }()
	<-started
	gone.Close()
	<-ended
	<-result
}

// TestStop checks that running calls may end within the grace, and that later ones find no daemon.
func TestStop(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	dir, stop := serve(t, func(context.Context, Actor, *Call) (any, error) {
		close(started)
		<-finish
		return "done", nil
	}, time.Minute)
	c := dial(t, dir)
	result := make(chan error)
	var got string
	go func() { result <- c.Call(t.Context(), "slow", nil, &got, nil) }()
	<-started
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for { // the daemon refuses new callers while the old call runs
		if other, err := Dial(t.Context(), dir, newKey(t)); errors.Is(err, ErrNoDaemon) {
			break
		} else if err == nil {
			other.Close()
		}
	}
	close(finish)
	if err := <-result; err != nil || got != "done" {
		t.Errorf("got %q, %v; want done", got, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestNoDaemon(t *testing.T) {
	if _, err := Dial(t.Context(), t.TempDir(), newKey(t)); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("got %v, want ErrNoDaemon", err)
	}
	dead := t.TempDir()
	if err := os.WriteFile(filepath.Join(dead, socketName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(t.Context(), dead, newKey(t)); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("dead socket: got %v, want ErrNoDaemon", err)
	}
}

// TestNotEnrolled connects without the socket, and checks that the daemon refuses a key that it does not know.
func TestNotEnrolled(t *testing.T) {
	dir, _ := serve(t, func(context.Context, Actor, *Call) (any, error) { return "secret", nil }, 0)
	content, err := os.ReadFile(filepath.Join(dir, addressName))
	if err != nil {
		t.Fatal(err)
	}
	var h hello
	if err := json.Unmarshal(content, &h); err != nil {
		t.Fatal(err)
	}
	call := func(key ed25519.PrivateKey, server string) error {
		id, err := identity(key)
		if err != nil {
			t.Fatal(err)
		}
		k, err := protocol.ParseKey(server)
		if err != nil {
			t.Fatal(err)
		}
		conf, err := clientTLS(id, k)
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		address, err := net.ResolveUDPAddr("udp", h.Address)
		if err != nil {
			t.Fatal(err)
		}
		transport := &quic.Transport{Conn: udp}
		defer transport.Close()
		conn, err := transport.Dial(t.Context(), address, conf, quicConfig)
		if err != nil {
			return err
		}
		c := &Client{conn: conn, transport: transport, udp: udp}
		return c.Call(t.Context(), "x", nil, nil, nil)
	}
	if err := call(newKey(t), h.Key); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("unknown key: got %v, want denied", err)
	}
	// The client refuses a daemon that cannot prove the expected identity.
	if err := call(newKey(t), protocol.KeyOf(newKey(t)).String()); err == nil {
		t.Error("a daemon with another identity was accepted")
	}
}

func TestLongPath(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	path, err := socketPath(long)
	if err != nil || len(path) > maxSocketPath {
		t.Errorf("got %q, %v", path, err)
	}
}

func TestEnrolledSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enrolled")
	e, err := OpenEnrolled(path)
	if err != nil {
		t.Fatal(err)
	}
	key := protocol.KeyOf(newKey(t))
	other := protocol.KeyOf(newKey(t))
	own := uint32(max(0, os.Getuid()))
	if err := errors.Join(e.Add(key, own), e.Add(other, own+1)); err != nil {
		t.Fatal(err)
	}
	again, err := OpenEnrolled(path)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[protocol.Key]uint32{key: own, other: own + 1} {
		if user, ok := again.User(k); !ok || user != want {
			t.Errorf("after reopening: got user %d, %v; want %d", user, ok, want)
		}
	}
	if _, ok := again.User(protocol.Key{}); ok {
		t.Error("a key that no user enrolled may call")
	}
}

// TestEnrolledUsers checks that a user can neither take over another user's key nor push out another user's keys.
func TestEnrolledUsers(t *testing.T) {
	e, err := OpenEnrolled(filepath.Join(t.TempDir(), "enrolled"))
	if err != nil {
		t.Fatal(err)
	}
	first := protocol.KeyOf(newKey(t))
	if err := e.Add(first, 1001); err != nil {
		t.Fatal(err)
	}
	if err := e.Add(first, 1002); err == nil {
		t.Error("another user enrolled the key")
	}
	keys := make([]protocol.Key, 2*maxKeys)
	for i := range keys {
		keys[i] = protocol.KeyOf(newKey(t))
		if err := e.Add(keys[i], 1002); err != nil {
			t.Fatal(err)
		}
	}
	if user, ok := e.User(first); !ok || user != 1001 {
		t.Errorf("got user %d, %v; want 1001", user, ok)
	}
	if _, ok := e.User(keys[0]); ok {
		t.Error("the oldest key of a user with too many keys may still call")
	}
	if _, ok := e.User(keys[len(keys)-1]); !ok {
		t.Error("the newest key may not call")
	}
}

// FuzzReadFrame checks that no input makes readFrame panic or take more memory than its own size, and that a frame survives a round trip.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("q\x00\x00\x00\x02{}"))
	f.Add([]byte("d\xff\xff\xff\xffx"))
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, payload, err := readFrame(bufio.NewReader(bytes.NewReader(b)), protocol.MaxFrame)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := (&frameWriter{w: &out}).write(kind, payload); err != nil || !bytes.HasPrefix(b, out.Bytes()) {
			t.Fatalf("%q reads as %q %q, which writes as %q, %v", b, kind, payload, out.Bytes(), err)
		}
	})
}
