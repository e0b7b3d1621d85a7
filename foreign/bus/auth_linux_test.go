package bus

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/MordragT/nuka/internal/skip"
)

// TestHandshake checks what is no handshake, and that no message before its end reaches the bus.
func TestHandshake(t *testing.T) {
	bus := daemon(t)
	filter, _ := proxy(t, bus, policy())
	hello := string(busMessage("Hello").encode())
	for said, want := range map[string]string{
		"AUTH EXTERNAL 30\r\nBEGIN\r\n":                           "",
		"\x00BEGIN\r\n":                                           "",
		"\x00AUTH EXTERNAL\r\nBEGIN\r\n":                          "DATA",
		"\x00AUTH EXTERNAL 30\r\nBEGIN \r\nBEGIN\t\r\n begin\r\n": "OK ",
		"\x00AUTH EXTERNAL 30\r\nBEGIN \r\n":                      "OK ",
		"\x00AUTH ANONYMOUS\r\nBEGIN\r\n":                         "REJECTED EXTERNAL",
		"\x00AUTH DBUS_COOKIE_SHA1 30\r\nBEGIN\r\n":               "REJECTED EXTERNAL",
		"\x00AUTH EXTERNAL zz\r\nBEGIN\r\n":                       "REJECTED EXTERNAL",
		"\x00AUTH EXTERNAL 30\r\nCANCEL\r\nBEGIN\r\n":             "OK ",
		"\x00AUTH\r\nBEGIN\r\n":                                   "REJECTED EXTERNAL",
		"\x00" + strings.Repeat("AUTH\r\n", 1000):                 "REJECTED EXTERNAL",
	} {
		r := dialSilent(t, filter)
		_, _ = io.WriteString(r.conn, said+hello)
		_ = r.conn.CloseWrite()
		got, err := io.ReadAll(r.conn)
		if first, _, _ := strings.Cut(string(got), "\r\n"); !strings.HasPrefix(first, want) || want == "" && len(got) > 0 {
			t.Errorf("%.40q: got %q, %v, want %q", said, got, err, want)
		}
		if bytes.Contains(got, []byte(":1.")) || bytes.Count(got, []byte("\r\n")) > maxLines {
			t.Errorf("%.40q: got %.200q", said, got)
		}
	}
	r := dialSilent(t, filter)
	_, _ = io.WriteString(r.conn, "\x00"+strings.Repeat("x", 10*maxLine))
	if !r.ended() {
		t.Error("a line without an end did not end the connection")
	}
}

// dialOnly is a program of another user: it says Hello, and returns 0 if it gets a unique name.
func dialOnly(path string) int {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 3
	}
	_, _ = conn.Write(append([]byte("\x00AUTH EXTERNAL 30\r\nBEGIN\r\n"), busMessage("Hello").encode()...))
	for b := make([]byte, 4096); ; {
		n, err := conn.Read(b)
		if bytes.Contains(b[:n], []byte(":1.")) {
			return 0
		}
		if err != nil {
			return 2
		}
	}
}

// TestOtherUser checks that the filter serves no program of another user, who has no right to this user's bus.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		skip.Wall(t, "only root can start a program as another user")
	}
	bus := daemon(t)
	filter, log := proxy(t, bus, policy())
	path := strings.TrimPrefix(filter, "unix:path=")
	for name, mode := range map[string]os.FileMode{strings.TrimSuffix(path, "/filter"): 0o755, path: 0o666} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	self := folder(t) + "/program"
	if b, err := os.ReadFile(os.Args[0]); err != nil || os.WriteFile(self, b, 0o755) != nil || os.Chmod(strings.TrimSuffix(self, "/program"), 0o755) != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32]int{0: 0, 65534: 2} {
		cmd := exec.CommandContext(t.Context(), self, path)
		cmd.Env = []string{"BUS_DIAL=1"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
			t.Errorf("user %d: got %v, want %d; the log: %s", uid, err, want, log)
		}
	}
}

// TestLogIsBounded checks that a program does not fill the log.
func TestLogIsBounded(t *testing.T) {
	log := &journal{}
	r := &refusals{log: slog.New(slog.NewTextHandler(log, nil))}
	for n := range 10 * maxRefusals {
		r.add("a D-Bus call", &message{member: fmt.Sprint("M", n)}, "a.b", "")
	}
	if n := strings.Count(log.String(), "\n"); n > maxRefusals {
		t.Errorf("got %d lines", n)
	}
}

// TestForeignReply checks that a peer cannot answer a call to another.
func TestForeignReply(t *testing.T) {
	var got []string
	s := newSession(policyOf("a.b", Talk), nil, func(m *message) error { got = append(got, m.sender); return nil }, func(*message) error { return nil })
	s.unique, s.greeted = ":1.5", true
	s.setOwner("a.b", ":1.9")
	if err := s.fromClient(&message{order: littleEndian, kind: kindCall, serial: 1, path: "/", member: "C", destination: ":1.9"}); err != nil {
		t.Fatal(err)
	}
	for _, sender := range []string{":1.8", ":1.9", ":1.9"} {
		if err := s.fromBus(&message{order: littleEndian, kind: kindReply, serial: 1, replySerial: s.serial, sender: sender, destination: ":1.5"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0] != ":1.9" {
		t.Errorf("got replies of %v, want one of :1.9", got)
	}
}

// TestReplyOnce checks that a program answers a call once. The bus would drop the second reply, too.
func TestReplyOnce(t *testing.T) {
	sent := 0
	s := newSession(policyOf("a.b", Talk), nil, func(*message) error { return nil }, func(*message) error { sent++; return nil })
	s.unique, s.greeted = ":1.5", true
	if err := s.fromBus(&message{order: littleEndian, kind: kindCall, serial: 7, path: "/", member: "C", sender: ":1.6", destination: ":1.5"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.fromClient(&message{order: littleEndian, kind: kindReply, serial: 1, replySerial: 7, destination: ":1.6"}); err != nil {
			t.Fatal(err)
		}
	}
	if sent != 1 {
		t.Errorf("got %d replies, want 1", sent)
	}
}
