package sandbox_test

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/MordragT/nuka/sandbox"
)

// TestListeningSocket gives a program that has no network a listening socket of the host: it serves it, and reaches nothing.
func TestListeningSocket(t *testing.T) {
	needSpaces(t)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no Python here")
	}
	var addrs []string
	var files []*os.File
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		addrs, files = append(addrs, l.Addr().String()), append(files, f)
	}
	s := system()
	_, port, _ := net.SplitHostPort(addrs[1])
	s.Argv = []string{"python3", "-c", `
import os, socket, sys
assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ
l = socket.socket(fileno=3)
l.setblocking(True)
c, _ = l.accept()
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2)
    c.sendall(b"reached\n")
except OSError as e:
    c.sendall(b"not reached\n")
c.close()
`, port}
	answer := make(chan string, 1)
	go func() {
		c, err := net.Dial("tcp", addrs[0])
		if err != nil {
			answer <- err.Error()
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		answer <- string(b)
	}()
	s.Env = append(s.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=http")
	r, err := run(t, t.Context(), s, sandbox.Options{Extra: files[:1]})
	if err != nil || r.Code != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if got := strings.TrimSpace(<-answer); got != "not reached" {
		t.Errorf("got %q", got)
	}
}
