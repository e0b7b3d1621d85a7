package desktop_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/desktop"
	"github.com/MordragT/nuka/internal/desktop/desktoptest"
)

// TestShow shows notes on a mock server, one in the place of the other. Bodies are markup, so what comes from records is escaped.
func TestShow(t *testing.T) {
	bus, err := desktoptest.Start(t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	defer bus.Close()
	// Without a server there is none, and none is started: the bus has a service file for it.
	begin := time.Now()
	if id, err := desktop.Show(t.Context(), bus.Address, &desktop.Note{Title: "a", Body: "b"}); err == nil || id != 0 || time.Since(begin) > desktop.Limit/2 {
		t.Errorf("without a server: %d, %v, after %s", id, err, time.Since(begin))
	}
	if _, err := os.Stat(bus.Started); err == nil {
		t.Error("a program was started to show the note")
	}
	if err := bus.Serve(); err != nil {
		t.Fatal(err)
	}
	first, err := desktop.Show(t.Context(), bus.Address, &desktop.Note{Title: "nuka <b>", Body: "<img src=\"http://x/\"> <a href='y'>CVE-1</a> & \x1b[31m\u202e"})
	if err != nil || first == 0 {
		t.Fatalf("got %d, %v", first, err)
	}
	second, err := desktop.Show(t.Context(), bus.Address, &desktop.Note{Title: "nuka", Body: strings.Repeat("é", 5000), Replaces: first, Urgent: true})
	if err != nil || second != first {
		t.Errorf("the note that replaces %d has the number %d, %v", first, second, err)
	}
	got := bus.Notes()
	if len(got) != 2 || got[0].Title != "nuka <b>" || got[0].Body != "&lt;img src=&#34;http://x/&#34;&gt; &lt;a href=&#39;y&#39;&gt;CVE-1&lt;/a&gt; &amp; \uFFFD[31m\uFFFD" || got[0].Urgency != 1 {
		t.Errorf("got %+v", got)
	}
	if len(got) == 2 && (got[1].Replaces != first || got[1].Urgency != 2 || len(got[1].Body) > 1100) {
		t.Errorf("got a note of %d bytes that replaces %d", len(got[1].Body), got[1].Replaces)
	}
}

// TestHang has a bus and a server that never answer: nobody waits for more than the limit.
func TestHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	bus, err := desktoptest.Start(t.TempDir())
	if err != nil {
		t.Skip(err)
	}
	defer bus.Close()
	bus.Hang = true
	if err := bus.Serve(); err != nil {
		t.Fatal(err)
	}
	for what, address := range map[string]string{"a bus": "unix:path=" + path, "a server": bus.Address} {
		begin := time.Now()
		_, err := desktop.Show(t.Context(), address, &desktop.Note{Title: "a"})
		if d := time.Since(begin); err == nil || d < desktop.Limit/2 || d > desktop.Limit*2 {
			t.Errorf("%s that hangs: %v after %s", what, err, d)
		}
	}
}

func TestAddress(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want, env := range map[string]map[string]string{
		"":                          {"XDG_RUNTIME_DIR": t.TempDir()},
		"unix:path=/x":              {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x", "XDG_RUNTIME_DIR": dir},
		"unix:path=" + dir + "/bus": {"XDG_RUNTIME_DIR": dir},
	} {
		if got := desktop.Address(func(k string) string { return env[k] }); got != want {
			t.Errorf("%v: got %q, want %q", env, got, want)
		}
	}
	if got := desktop.Address(func(k string) string { return map[string]string{"DBUS_SESSION_BUS_ADDRESS": "autolaunch:"}[k] }); got != "" {
		t.Errorf("got %q: it would start a bus", got)
	}
	if _, err := desktop.Show(t.Context(), "", &desktop.Note{}); !errors.Is(err, desktop.ErrNoBus) {
		t.Errorf("got %v", err)
	}
}
