package permission

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Permission{
		"network":                    {Network, "", ""},
		"network=example.com:443":    {Network, "example.com:443", ""},
		"network=*.example.com:443":  {Network, "*.example.com:443", ""},
		"files=~/x:ro":               {Files, "~/x", "ro"},
		"files=/a:b":                 {Files, "/a:b", "rw"},
		"files=.":                    {Files, ".", "rw"},
		"device=dri":                 {Device, "dri", ""},
		"socket=wayland":             {Socket, "wayland", ""},
		"dbus=org.example.App:own":   {DBus, "org.example.App", "own"},
		"dbus=org.example.*":         {DBus, "org.example.*", "talk"},
		"dbus=org.freedesktop.Notes": {DBus, "org.freedesktop.Notes", "talk"},
	} {
		p, err := Parse(text)
		if err != nil || p != want {
			t.Errorf("%s: got %+v, %v", text, p, err)
		}
		if again, err := Parse(p.String()); err != nil || again != p {
			t.Errorf("%s: %s is read as %+v, %v", text, p, again, err)
		}
	}
	for _, text := range []string{
		"", "everything", "network=", "network=host", "network=host:0", "network=host:99999", "network=a*b:1", "network=*:1:2", "files=", "files=a\x00b", "device=all", "device=", "socket=session-bus",
		"dbus=App", "dbus=org.example.App:write", "dbus=org.*", "dbus=org.freedesktop.systemd1", "dbus=org.freedesktop.impl.portal.PermissionStore", "dbus=org.freedesktop.DBus", "dbus=org.freedesktop.Flatpak:own",
	} {
		if p, err := Parse(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, p)
		}
	}
}

// TestSays checks that text of packages reaches a terminal quoted (CVE-2023-28101).
func TestSays(t *testing.T) {
	for _, p := range []Permission{{Files, "/a\x1b[2K\rread nothing", "rw"}, {Files, "-rf", "ro"}, {Files, "/a\u202eb", "ro"}, {Network, "\nhost:1", ""}} {
		if got := p.Says(); strings.ContainsAny(got, "\x1b\r\n\u202e") || strings.Contains(got, " -") {
			t.Errorf("%q", got)
		}
	}
	if got, want := (Permission{Files, "/home/Ä b", "ro"}).Says(), "read /home/Ä b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFromRecord(t *testing.T) {
	got, err := FromRecord(nuon.Record{
		"network": nuon.List{"example.com:443"}, "files": nuon.List{"~/b:ro", "/a", "/a:ro"}, "devices": nuon.List{"dri"}, "sockets": nuon.List{"x11"}, "dbus": nuon.Record{"org.example.App": "own"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Permission{{Network, "example.com:443", ""}, {Files, "/a", "rw"}, {Files, "~/b", "ro"}, {Device, "dri", ""}, {Socket, "x11", ""}, {DBus, "org.example.App", "own"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, rec := range []any{
		nuon.List{}, nuon.Record{"all": true}, nuon.Record{"files": "/"}, nuon.Record{"files": nuon.List{"relative"}}, nuon.Record{"files": nuon.List{int64(1)}}, nuon.Record{"devices": nuon.List{"dri", "mem"}},
		nuon.Record{"dbus": nuon.List{}}, nuon.Record{"dbus": nuon.Record{"org.freedesktop.systemd1": "talk"}}, nuon.Record{"dbus": nuon.Record{"org.example.App": nil}}, nuon.Record{"network": nuon.List{"x"}}, nuon.Record{"sockets": true},
	} {
		if got, err := FromRecord(rec); err == nil {
			t.Errorf("%v: got %v, want an error", rec, got)
		}
	}
}

func TestEntry(t *testing.T) {
	net, host, a, dri := Permission{Kind: Network}, Permission{Network, "h:1", ""}, Permission{Files, "/a", "ro"}, Permission{Device, "dri", ""}
	e := Entry{Seen: []Permission{a}, Allow: []Permission{dri}, Deny: []Permission{net}}
	if d := cmp.Diff([]Permission{a, dri}, e.Effective([]Permission{net, host, a})); d != "" {
		t.Error(d)
	}
	wider := Permission{Files, "/a", "rw"}
	if d := cmp.Diff([]Permission{wider}, e.New([]Permission{net, host, a, dri, wider})); d != "" {
		t.Errorf("an update that asks for more is asked about: %s", d)
	}
}

func TestBook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "permissions")
	book := OpenBook(dir)
	if e, err := book.Get("none"); err != nil || !e.IsZero() {
		t.Fatal(e, err)
	}
	var all sync.WaitGroup
	for _, name := range []string{"dri", "kvm", "usb", "video", "input", "serial"} { // at once
		all.Go(func() {
			if err := OpenBook(dir).Change(context.Background(), "app", func(e *Entry) error { e.Allow = append(e.Allow, Permission{Device, name, ""}); return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	e, err := book.Get("app")
	if err != nil || len(e.Allow) != 6 {
		t.Errorf("got %v, %v, want 6 devices", e, err)
	}
	if apps, err := book.Apps(); err != nil || len(apps) != 1 {
		t.Error(apps, err)
	}
	for _, name := range []string{"", "../app", "a/b", "-x", ".x", "x.nuon"} {
		if _, err := book.Get(name); protocol.CodeOf(err) != protocol.Invalid {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "app.nuon"), []byte(`{permissions: 1, allow: ["everything"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := book.Get("app"); protocol.CodeOf(err) != protocol.Damaged { // and nothing is granted instead
		t.Errorf("a damaged file: got %v", err)
	}
	if err := book.Reset("app"); err != nil {
		t.Fatal(err)
	}
	if e, err := book.Get("app"); err != nil || !e.IsZero() {
		t.Error(e, err)
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(`{"allow":["network"],"deny":["files=/a:ro"],"permissions":1}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := decodeEntry(text)
		for _, p := range append(e.Allow, e.Deny...) {
			if err == nil && p.Check() != nil {
				t.Errorf("%+v", p)
			}
		}
	})
}
