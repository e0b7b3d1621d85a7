//go:build unix

package wasmrt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

// listen returns listening sockets on loopback, and their addresses.
func listen(t *testing.T, names ...string) (list []wasmrt.Listening, addrs []string) {
	t.Helper()
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		l.Close()
		t.Cleanup(func() { f.Close() })
		list = append(list, wasmrt.Listening{Name: name, File: f})
	}
	return list, addrs
}

func socketsOf(t *testing.T, list []wasmrt.Listening) *wasmrt.Sockets {
	t.Helper()
	s, err := wasmrt.NewSockets(list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// askLine sends a line to a server, and returns the one that it answers.
func askLine(addr, line string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, line); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}

// TestServer has a program of Go's library serve a handed-in socket: many connections at once, large answers, and clients that leave.
func TestServer(t *testing.T) {
	b := newBox(t, nil)
	list, addrs := listen(t, "other", "main")
	sockets := socketsOf(t, list)
	done := make(chan error, 1)
	go func() {
		out, exit, err := b.try(func(p *wasmrt.Program) { p.Sockets, p.Real = sockets, true }, "serve main", "ls /nuka/build")
		done <- errors.Join(err, func() error {
			if exit != 0 || out != "" {
				return fmt.Errorf("exit %d: %s", exit, out)
			}
			return nil
		}())
	}()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			want, line := fmt.Sprint("line ", i), fmt.Sprint("line ", i)
			if i%4 == 0 {
				line, want = "big", strings.Repeat("a", 1<<20)
			}
			if got, err := askLine(addrs[1], line); err != nil || got != want+"\n" {
				t.Errorf("%s: got %.40q (%d bytes), %v", line, got, len(got), err)
			}
		})
	}
	gone, err := net.Dial("tcp", addrs[1]) // a client that resets the connection
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(gone, "big")
	_ = gone.(*net.TCPConn).SetLinger(0)
	gone.Close()
	wg.Wait()
	if _, err := askLine(addrs[1], "end"); !errors.Is(err, io.EOF) && err == nil {
		t.Errorf("the end: got %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNoOtherNetwork has a program with a socket try to get more of a network.
func TestNoOtherNetwork(t *testing.T) {
	b := newBox(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan struct{}, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			reached <- struct{}{}
		}
	}()
	list, _ := listen(t, "main")
	sockets := socketsOf(t, list)
	out, _, err := b.try(func(p *wasmrt.Program) { p.Sockets, p.Real = sockets, true }, "reach "+l.Addr().String())
	if err != nil || strings.Contains(out, "false") || !strings.Contains(out, "dial: true") {
		t.Errorf("got %s, %v", out, err)
	}
	select {
	case <-reached:
		t.Error("the program reached a server")
	default:
	}
}

// watched is output, and tells when it has a text.
type watched struct {
	bytes.Buffer
	until string
	seen  chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if w.until != "" && strings.Contains(w.String(), w.until) {
		w.until = ""
		close(w.seen)
	}
	return n, err
}

// TestSocketsOfProcesses has programs with processes serve a handed-in socket: one waits while its forks go on.
func TestSocketsOfProcesses(t *testing.T) {
	for _, c := range []struct{ act, want string }{
		{"forkserver 3", "pid 1, fds 1 main\nthen 0 0\nthen 0 0\nthen 0 0\n"},
		{"sockpoll", "nothing yet: 6\npoll 0: 0\npoll: 1\naccept: 0\n"},
		{"sockwrong", "errnos 57 8 28 53 53 57 53 28 21\n"},
	} {
		t.Run(c.act, func(t *testing.T) {
			_, h := newKernelHost(t, wasmrt.Limits{Running: 1})
			h.Real = true
			list, addrs := listen(t, "main")
			sockets := socketsOf(t, list)
			out := &watched{until: "poll 0: 0", seen: make(chan struct{})}
			done := make(chan error, 1)
			go func() {
				_, err := h.Exec(t.Context(), &wasmrt.Command{Args: append([]string{"posix"}, strings.Fields(c.act)...), Stdout: out, Stderr: out, Sockets: sockets})
				done <- err
			}()
			switch c.act {
			case "forkserver 3":
				idle, err := net.Dial("tcp", addrs[0]) // the first connection says nothing until the others have been served
				if err != nil {
					t.Fatal(err)
				}
				defer idle.Close()
				for _, line := range []string{"a", "b"} {
					if got, err := askLine(addrs[0], line); err != nil || got != "got "+line+"\n" {
						t.Errorf("%s: got %q, %v", line, got, err)
					}
				}
				fmt.Fprintln(idle, "c")
				if got, err := bufio.NewReader(idle).ReadString('\n'); err != nil || got != "got c\n" {
					t.Errorf("got %q, %v", got, err)
				}
				idle.Close()
			case "sockpoll":
				<-out.seen // the program looks before anybody comes
				conn, err := net.Dial("tcp", addrs[0])
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
				if n, err := io.Copy(io.Discard, conn); n != 1<<20 || err != nil {
					t.Errorf("got %d bytes, %v", n, err)
				}
				conn.Close()
			}
			if err := <-done; err != nil || out.String() != c.want {
				t.Errorf("got %q, %v, want %q", out.String(), err, c.want)
			}
		})
	}
}

// TestDrain has a program drained while it answers: it finishes, and new connections wait for the next program.
func TestDrain(t *testing.T) {
	b := newBox(t, nil)
	list, addrs := listen(t, "main")
	sockets := socketsOf(t, list)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{until: "asked", seen: make(chan struct{})}
	start := func() chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = b.rt.Run(ctx, &wasmrt.Program{Module: b.guest, Args: []string{"guest", "serve", "main"}, FS: b.fs, Sockets: sockets, Real: true, Stdout: out, Stderr: out})
		}()
		return done
	}
	first := start()
	if got, err := askLine(addrs[0], "x"); got != "x\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	kept, err := net.Dial("tcp", addrs[0]) // a client that keeps its connection for more requests
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	fmt.Fprintln(kept, "y")
	if got, err := bufio.NewReader(kept).ReadString('\n'); got != "y\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	slow := make(chan string, 1)
	go func() {
		got, err := askLine(addrs[0], "slow")
		slow <- fmt.Sprint(got, err)
	}()
	<-out.seen // the request is being answered
	drained, began := make(chan error, 1), time.Now()
	go func() { drained <- sockets.Drain(ctx) }()
	time.Sleep(20 * time.Millisecond)
	next := make(chan string, 1)
	go func() {
		got, err := askLine(addrs[0], "later")
		next <- fmt.Sprint(got, err)
	}()
	if err := <-drained; err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("drain: got %v after %s", err, time.Since(began))
	}
	select {
	case got := <-slow:
		if got != "slow\n<nil>" {
			t.Errorf("the request in progress: got %q", got)
		}
	default:
		t.Error("drain returned while a request was in progress")
	}
	select {
	case got := <-next:
		t.Errorf("a connection after the drain was served by the old program: %q", got)
	default:
	}
	cancel()
	<-first
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	sockets = socketsOf(t, list)
	second := start()
	if got := <-next; got != "later\n<nil>" {
		t.Errorf("the request that waited: got %q", got)
	}
	cancel()
	<-second
}
