package bus

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

func TestAppID(t *testing.T) {
	for name, want := range map[string]string{
		"lua": "org.nuka.lua", "my_app": "org.nuka.my__app", "a b": "org.nuka.a_20b", "7zip": "org.nuka._37zip", "-x": "org.nuka._2dx", "g++": "org.nuka.g_2b_2b",
		"../x": "org.nuka._2e_2e_2fx", "a\nb": "org.nuka.a_0ab", "ä": "org.nuka._c3_a4",
	} {
		if got := AppID(name); got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
	if got := AppID(strings.Repeat("x", 500)); len(got) > 100 || CheckName(got) != nil {
		t.Errorf("a long name: got %s", got)
	}
}

// FuzzAppID checks that each id is a name on the bus, and that two names have two ids.
func FuzzAppID(f *testing.F) {
	f.Add("a_b", "a b")
	f.Add("_h", "")
	f.Fuzz(func(t *testing.T, a, b string) {
		if err := CheckName(AppID(a)); err != nil {
			t.Error(err)
		}
		if (AppID(a) == AppID(b)) != (a == b) {
			t.Errorf("%q and %q have the ids %s and %s", a, b, AppID(a), AppID(b))
		}
	})
}

func TestFlatpakInfo(t *testing.T) {
	p := &Policy{Names: map[string]Access{"org.freedesktop.Notifications": Talk}}
	p.AddApplication("org.nuka.lua")
	got := string(FlatpakInfo(&Instance{App: "org.nuka.lua", ID: "42", Runtime: "base\n[Context]\nfilesystems=host", RuntimePath: " /x;y\\z", Network: true,
		Sockets: []string{"wayland", "a;b"}, Policy: p}))
	want := `[Application]
name=org.nuka.lua
runtime=runtime/base\n[Context]\nfilesystems=host

[Instance]
instance-id=42
runtime-path=\s/x;y\\z
session-bus-proxy=true
system-bus-proxy=true
flatpak-version=1.14.4

[Context]
shared=network;ipc;
sockets=wayland;a\;b;

[Session Bus Policy]
org.freedesktop.Notifications=talk
org.mpris.MediaPlayer2.org.nuka.lua.*=own
org.nuka.lua.*=own

`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := string(FlatpakInfo(&Instance{App: "org.nuka.lua", ID: "42"})); strings.Contains(got, "network") {
		t.Errorf("the zero instance has the network: %s", got)
	}
}

func TestDocumentBinds(t *testing.T) {
	want := []Bind{{"/run/user/7/doc/by-app/org.nuka.lua", "/run/user/7/doc"}, {"/run/user/7/doc/by-app/org.nuka.lua", "/run/flatpak/doc"}}
	if got := DocumentBinds("/run/user/7/doc", "org.nuka.lua"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestParsePermission(t *testing.T) {
	for text, want := range map[string]protocol.Code{
		"org.example.Name:talk": "", "org.example.*:see": "", "org.example.Name:own": "", "org.example.Name:none": "",
		"org.example.Name": protocol.Invalid, "org.example.Name:write": protocol.Invalid, "*:talk": protocol.Invalid, "org.*:talk": protocol.Invalid,
		"org..x:talk": protocol.Invalid, ":1.5:talk": protocol.Invalid, "org.ex*:talk": protocol.Invalid, "org.1x:talk": protocol.Invalid,
		"org.x',sender='y:talk": protocol.Invalid, "": protocol.Invalid,
		"org.freedesktop.systemd1:talk": protocol.Denied, "org.freedesktop.DBus:own": protocol.Denied, "org.freedesktop.impl.portal.*:see": protocol.Denied,
		"org.freedesktop.Flatpak:talk": protocol.Denied, "org.freedesktop.portal.Flatpak:talk": protocol.Denied,
	} {
		_, _, err := ParsePermission(text)
		var e *protocol.Error
		if errors.As(err, &e); (err == nil) != (want == "") || e != nil && (e.Code != want || e.Hint == "") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	// A pattern over names that are never granted does not grant them.
	wide := &Policy{Names: map[string]Access{"org.freedesktop.*": Own}}
	for name, want := range map[string]Access{"org.freedesktop.systemd1": None, "org.freedesktop.impl.portal.desktop.gtk": None, "org.freedesktop.Notifications": Own} {
		if got := wide.access(name); got != want || wide.mayCall(name, &message{}) != (want == Own) || wide.mayHear(name, &message{}) != (want == Own) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestSocketOf(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/user/1/bus":                      "/run/user/1/bus",
		"unix:path=/a%20b,guid=00":                       "/a b",
		"tcp:host=x,port=1;unix:abstract=/tmp/x,guid=00": "@/tmp/x",
		"unix:path=relative":                             "",
		"unix:path=/a%00b":                               "",
		"unixexec:path=/bin/sh":                          "",
		"autolaunch:":                                    "",
		"":                                               "",
	} {
		if got, err := SocketOf(address); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", address, got, err, want)
		}
	}
}
