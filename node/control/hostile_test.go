package control

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/protocol"
)

// Serve returns when all calls have ended. No call begins afterwards, even on a connection that is still open.
func TestServeEndsCalls(t *testing.T) {
	var running atomic.Int64
	began, finish := make(chan struct{}, 10), make(chan struct{})
	dir, stop := serve(t, func(_ context.Context, _ Actor, call *Call) (any, error) {
		running.Add(1)
		defer running.Add(-1)
		if call.Op == "slow" { // like an import that syncs
			began <- struct{}{}
			<-finish
		}
		return nil, nil
	}, time.Minute)
	c := dial(t, dir)
	slow := make(chan error, 1)
	go func() { slow <- c.Call(context.Background(), "slow", nil, nil, nil) }()
	<-began
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	// While the first call runs, the server refuses others with a reason.
	for {
		err := c.Call(t.Context(), "late", nil, nil, nil)
		if err == nil {
			continue // the server had not begun to stop
		}
		if protocol.CodeOf(err) != protocol.Unavailable || !strings.Contains(err.Error(), "stopping") {
			t.Fatalf("got %v, want that it is stopping", err)
		}
		break
	}
	close(finish)
	if err := <-slow; err != nil {
		t.Errorf("the call that was running: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := running.Load(); n > 0 {
		t.Errorf("Serve has returned and %d calls run", n)
	}
}

// Many connections make calls at the moment at which the server stops.
func TestServeEndHammer(t *testing.T) {
	for range 10 {
		var closed, late atomic.Bool
		dir, stop := serve(t, func(context.Context, Actor, *Call) (any, error) {
			if closed.Load() {
				late.Store(true)
			}
			return nil, nil
		}, 0)
		ended := make(chan struct{}, 4)
		for range 4 {
			c := dial(t, dir)
			go func() {
				defer func() { ended <- struct{}{} }()
				for c.Call(context.Background(), "any", nil, nil, nil) == nil {
				}
			}()
		}
		time.Sleep(5 * time.Millisecond)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		closed.Store(true)
		for range 4 {
			<-ended
		}
		if late.Load() {
			t.Fatal("a call reached the handler after Serve had returned")
		}
	}
}

// If a full disk, a power cut or an editor leaves a bad line in the list of keys, only that line is lost; the daemon still starts.
func TestEnrolledTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "enrolled")
	first, second := protocol.KeyOf(newKey(t)), protocol.KeyOf(newKey(t))
	for name, rest := range map[string]string{"torn": "key-abc", "binary": "\x00\xff\n", "empty": "\n\n"} {
		if err := os.WriteFile(path, []byte(first.String()+"\n"+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := OpenEnrolled(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := e.Add(second, uint32(max(0, os.Getuid()))); err != nil {
			t.Fatal(err)
		}
		if e, err = OpenEnrolled(path); err != nil {
			t.Fatal(err)
		}
		for _, key := range []protocol.Key{first, second} {
			if _, ok := e.User(key); !ok {
				t.Errorf("%s: %s is missing", name, key)
			}
		}
	}
}

// In a folder for temporary files, another user may make the folder for the socket first.
func TestSocketFolderOfAnother(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() != 0 {
		skip.Wall(t, "only root can make a file another user's")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	squat := filepath.Join(tmp, "nuka-0")
	long := filepath.Join(tmp, strings.Repeat("x", 120))
	for name, prepare := range map[string]func() error{
		"folder": func() error { return errors.Join(os.Mkdir(squat, 0o700), os.Chown(squat, 65534, 65534)) },
		"link":   func() error { return os.Symlink(t.TempDir(), squat) },
		"open":   func() error { return errors.Join(os.Mkdir(squat, 0o700), os.Chmod(squat, 0o777)) },
	} {
		if err := errors.Join(os.RemoveAll(squat), prepare()); err != nil {
			t.Fatal(err)
		}
		if path, err := socketPath(long); err == nil {
			t.Errorf("%s: the socket would be %s", name, path)
		}
	}
	if err := os.RemoveAll(squat); err != nil {
		t.Fatal(err)
	}
	if _, err := socketPath(long); err != nil {
		t.Errorf("with a folder of our own: %v", err)
	}
}

// Status and stop need no network, because they use the socket.
func TestAsk(t *testing.T) {
	stopped := make(chan struct{}, 1)
	dir, _ := serve(t, func(_ context.Context, actor Actor, call *Call) (any, error) {
		if !actor.Local {
			t.Errorf("got %+v, want the node's own user", actor)
		}
		if call.Op == protocol.OpStop {
			stopped <- struct{}{}
			return nil, nil
		}
		return protocol.Status{Process: 7}, nil
	}, 0)
	var s protocol.Status
	if err := Ask(t.Context(), dir, protocol.OpStatus, &s); err != nil || s.Process != 7 {
		t.Errorf("got %+v, %v", s, err)
	}
	if err := Ask(t.Context(), dir, protocol.OpStop, nil); err != nil {
		t.Error(err)
	}
	<-stopped
	for _, op := range []protocol.Op{protocol.OpKey, protocol.OpGrant, protocol.OpRealize, ""} {
		if err := Ask(t.Context(), dir, op, nil); err == nil {
			t.Errorf("%q was called over the socket", op)
		}
	}
	pid, err := Process(t.Context(), dir)
	if err != nil || runtime.GOOS == "linux" && pid != os.Getpid() {
		t.Errorf("got process %d, %v; want %d", pid, err, os.Getpid())
	}
	if err := Ask(t.Context(), t.TempDir(), protocol.OpStatus, nil); !errors.Is(err, ErrNoDaemon) {
		t.Errorf("got %v, want ErrNoDaemon", err)
	}
}

// A daemon that hangs listens and does not answer.
func TestAskSilent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := openDoor(dir, hello{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	l := d.listener
	for name, answer := range map[string]string{"nothing": "", "half an answer": `{"key": "`} {
		if answer != "" {
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, _ = io.WriteString(c, answer)
				}
			}()
		}
		if err := Ask(t.Context(), dir, protocol.OpStatus, nil); !errors.Is(err, ErrSilent) {
			t.Errorf("%s: got %v, want ErrSilent", name, err)
		}
	}
}

// Hundreds of connections of strangers without a right shut out neither the user's own connections nor a light peer with a right.
func TestStrangersCrowd(t *testing.T) {
	grants := openGrants(t)
	secret, err := grants.Add([]protocol.Right{protocol.RightRun}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ticket := remote(t, grants, func(context.Context, Actor, *Call) (any, error) { return "yes", nil })
	address, err := udpAddress(ticket.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 3 * maxAttaching / 2 {
		c, err := dialAt(t.Context(), address, "127.0.0.1:0", ticket.Node, newKey(t))
		if err != nil {
			refused++
			continue
		}
		defer c.Close()
		select {
		case <-c.conn.Context().Done():
			refused++
		case <-time.After(time.Millisecond):
		}
	}
	ticket.Right = secret
	// The daemon closes a connection that shows no right after attachTimeout at most.
	for start := time.Now(); ; {
		c, err := Attach(t.Context(), ticket, newKey(t))
		if err == nil {
			defer c.Close()
			break
		}
		if time.Since(start) > attachTimeout+5*time.Second {
			t.Fatalf("a light peer with a right is kept out: %v", err)
		}
	}
	// One ticket cannot take all connections.
	n := 1
	for range maxOfGrant + 5 {
		c, err := Attach(t.Context(), ticket, newKey(t))
		if err != nil {
			continue
		}
		defer c.Close()
		var got string
		if c.Call(t.Context(), protocol.OpRead, nil, &got, nil) == nil {
			n++
		}
	}
	if n != maxOfGrant {
		t.Errorf("got %d connections by one ticket, want %d", n, maxOfGrant)
	}
}

// Strangers do not use up the connections of the node's own user.
func TestStrangersAndOwn(t *testing.T) {
	grants := openGrants(t)
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	dir := t.TempDir()
	enrolled, err := OpenEnrolled(filepath.Join(dir, "enrolled"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	key := newKey(t)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Serve(ctx, &ServerOptions{
			Dir: dir, Key: key, Enrolled: enrolled, Grants: grants, Ready: func() { close(ready) },
			Handler: handlerFunc(func(context.Context, Actor, *Call) (any, error) { return "yes", nil }),
		})
	}()
	<-ready
	defer func() { cancel(); <-done }()
	var s hello
	if s, err = askSocket(t.Context(), dir, string(protocol.OpStatus)); err != nil {
		t.Fatal(err)
	}
	for range maxAttaching + 20 { // processes of other users can reach the loopback address
		if c, err := dialAt(t.Context(), s.Address, "127.0.0.1:0", protocol.KeyOf(key), newKey(t)); err == nil {
			defer c.Close()
		}
	}
	for range 20 {
		var got string
		if err := dial(t, dir).Call(t.Context(), protocol.OpRead, nil, &got, nil); err != nil || got != "yes" {
			t.Fatalf("the user's own call: %q, %v", got, err)
		}
	}
}

// A light peer of another machine cannot make the daemon keep a large request, or a slow one.
func TestRequestOfStranger(t *testing.T) {
	grants := openGrants(t)
	secret, err := grants.Add([]protocol.Right{protocol.RightRun}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ticket := remote(t, grants, func(context.Context, Actor, *Call) (any, error) { return "yes", nil })
	ticket.Right = secret
	c, err := Attach(t.Context(), ticket, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Call(t.Context(), protocol.OpRead, protocol.PathArgs{Path: strings.Repeat("x", maxRequest)}, nil, nil)
	if err == nil {
		t.Error("a request of 16 MiB and more was taken")
	}
	if err := c.Call(t.Context(), protocol.OpRead, protocol.PathArgs{Path: strings.Repeat("x", maxRequest/2)}, nil, nil); err != nil {
		t.Errorf("a request of 8 MiB: %v", err)
	}
}

// If a light peer of another machine sends only half of its bytes, or reads none of the reply, the daemon ends its call after a while.
func TestStrangerStalls(t *testing.T) {
	grants := openGrants(t)
	secret, err := grants.Add([]protocol.Right{protocol.RightRun}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	ticket := remote(t, grants, func(_ context.Context, _ Actor, call *Call) (any, error) {
		var err error
		if call.Op == protocol.OpRead {
			for err == nil {
				_, err = call.Reply.Write(make([]byte, dataSize))
			}
		} else {
			_, err = io.Copy(io.Discard, call.Data)
		}
		ended <- err
		return nil, err
	})
	ticket.Right = secret
	c, err := Attach(t.Context(), ticket, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, w := io.Pipe()
	defer w.Close()
	go func() { _ = c.Call(t.Context(), protocol.OpUpload, nil, nil, &CallOptions{Data: r}) }()
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	read, take := io.Pipe() // never read
	defer read.Close()
	go func() { _ = c.Call(t.Context(), protocol.OpRead, nil, nil, &CallOptions{Reply: take}) }()
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("a call of a peer that does nothing ended well")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a call waits for a peer that does nothing")
		}
	}
}
