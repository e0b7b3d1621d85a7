package bus

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// A scene is a bus with peers, and a program before it.
type scene struct {
	program                           *dbus.Conn // through the filter
	talk, see, hidden, portal, denied *dbus.Conn
	signals                           chan *dbus.Signal // that reach the program
}

// unique returns the unique name of a connection.
func unique(c *dbus.Conn) string { return c.Names()[0] }

// newScene starts peers on a bus, and connects the program through a filter.
func newScene(t *testing.T, bus, filter string) *scene {
	t.Helper()
	s := &scene{
		talk: peer(t, bus, "org.test.Talk", "org.wide.Name"), see: peer(t, bus, "org.test.See"), hidden: peer(t, bus, "org.test.Hidden", "org.wider"),
		portal: peer(t, bus, "org.freedesktop.portal.Desktop"), denied: peer(t, bus, "org.freedesktop.portal.Flatpak", "org.freedesktop.systemd1"),
		program: client(t, filter), signals: make(chan *dbus.Signal, 100),
	}
	s.program.Signal(s.signals)
	return s
}

// ask calls a member of the bus, and returns the error's name or the answer's text.
func (s *scene) ask(member string, args ...any) string {
	if !strings.Contains(member, ".") {
		member = busName + "." + member
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c := s.program.BusObject().CallWithContext(ctx, member, 0, args...)
	if c.Err != nil {
		return errorName(c.Err)
	}
	return strings.Trim(fmt.Sprint(c.Body...), "[]")
}

// call calls a member of a name, and returns the error's name.
func (s *scene) call(name, path, member string, args ...any) string {
	return errorName(s.program.Object(name, dbus.ObjectPath(path)).Call(member, 0, args...).Err)
}

// names returns which of the names of the scene a list of names has.
func (s *scene) names(member string) string {
	var all, got []string
	if err := s.program.BusObject().Call(busName+"."+member, 0).Store(&all); err != nil {
		return errorName(err)
	}
	for _, name := range all {
		switch name {
		case unique(s.talk):
			name = ":talk"
		case unique(s.see):
			name = ":see"
		case unique(s.portal):
			name = ":portal"
		case unique(s.denied):
			name = ":denied"
		case unique(s.program):
			name = ":program"
		}
		got = append(got, name)
	}
	slices.Sort(got)
	return strings.Join(got, " ")
}

// heard lets a peer send a signal to everybody, and returns whether it reached the program.
func (s *scene) heard(from *dbus.Conn, path, member string) string {
	if got := s.ask("AddMatch", "type='signal',member='"+member[strings.LastIndex(member, ".")+1:]+"'"); got != "" {
		return got
	}
	if err := from.Emit(dbus.ObjectPath(path), member, "x"); err != nil {
		return err.Error()
	}
	return s.wait(from, member)
}

// wait returns whether a signal that a peer has sent reached the program. A signal of the program itself, which comes later, ends the waiting.
func (s *scene) wait(from *dbus.Conn, member string) string {
	if err := from.BusObject().Call(busName+".GetId", 0).Err; err != nil {
		return err.Error()
	}
	s.ask("AddMatch", "interface='org.test.End'")
	if err := s.program.Emit("/end", "org.test.End.End"); err != nil {
		return err.Error()
	}
	got := "no"
	for {
		select {
		case signal := <-s.signals:
			switch signal.Name {
			case member:
				got = "yes"
			case "org.test.End.End":
				return got
			}
		case <-time.After(5 * time.Second):
			return got + ", and then nothing"
		}
	}
}

// received lets the program send a signal, and returns whether it reached a peer. No destination is everybody.
func (s *scene) received(to *dbus.Conn, destination string) string {
	signals := make(chan *dbus.Signal, 10)
	to.Signal(signals)
	defer to.RemoveSignal(signals)
	if err := to.AddMatchSignal(dbus.WithMatchInterface("org.test.Out")); err != nil {
		return err.Error()
	}
	m := &dbus.Message{Type: dbus.TypeSignal, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/x")), dbus.FieldInterface: dbus.MakeVariant("org.test.Out"), dbus.FieldMember: dbus.MakeVariant("Out"),
	}}
	if destination != "" {
		m.Headers[dbus.FieldDestination] = dbus.MakeVariant(destination)
	}
	s.program.Send(m, nil)
	s.ask("GetId")
	select {
	case <-signals:
		return "yes"
	case <-time.After(100 * time.Millisecond):
		return "no"
	}
}

const echoes = "org.test.Echo.Echo"

// decisions are what a program tries, and what becomes of it. Theirs is what xdg-dbus-proxy 0.1.4 does, where that differs.
var decisions = []struct {
	name, want, theirs string
	try                func(s *scene) string
}{
	{"call a granted name", "ok", "", func(s *scene) string { return s.call("org.test.Talk", "/org/test", echoes, "x") }},
	{"call a name below a pattern", "ok", "", func(s *scene) string { return s.call("org.wide.Name", "/org/test", echoes, "x") }},
	{"call the owner of a granted name", "ok", "", func(s *scene) string { return s.call(unique(s.talk), "/org/test", echoes, "x") }},
	{"call a name that is only seen", "AccessDenied", "", func(s *scene) string { return s.call("org.test.See", "/org/test", echoes, "x") }},
	{"call its owner", "AccessDenied", "", func(s *scene) string { return s.call(unique(s.see), "/org/test", echoes, "x") }},
	{"ping its owner", "AccessDenied", "", func(s *scene) string { return s.call(unique(s.see), "/", "org.freedesktop.DBus.Peer.Ping") }},
	{"call a hidden name", "ServiceUnknown", "", func(s *scene) string { return s.call("org.test.Hidden", "/org/test", echoes, "x") }},
	{"call its owner by the unique name", "NameHasNoOwner", "", func(s *scene) string { return s.call(unique(s.hidden), "/org/test", echoes, "x") }},
	{"call a name beside a pattern", "ServiceUnknown", "", func(s *scene) string { return s.call("org.wider", "/org/test", echoes, "x") }},
	{"call a name that nobody owns", "ServiceUnknown", "", func(s *scene) string { return s.call("org.test.Nobody", "/", echoes, "x") }},
	{"call systemd", "ServiceUnknown", "", func(s *scene) string { return s.call("org.freedesktop.systemd1", "/org/test", echoes, "x") }},
	{"call a portal", "ok", "", func(s *scene) string {
		return s.call("org.freedesktop.portal.Desktop", "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Test.Echo", "x")
	}},
	{"call another interface of a portal's owner", "AccessDenied", "ok", func(s *scene) string {
		return s.call("org.freedesktop.portal.Desktop", "/org/test", echoes, "x")
	}},
	{"call Flatpak's own portal", "ServiceUnknown", "ok", func(s *scene) string {
		return s.call("org.freedesktop.portal.Flatpak", "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Test.Echo", "x")
	}},
	{"call without a destination", "AccessDenied", "UnknownMethod", func(s *scene) string {
		m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath("/")), dbus.FieldMember: dbus.MakeVariant("ReloadConfig"),
		}}
		return errorName((<-s.program.Send(m, make(chan *dbus.Call, 1)).Done).Err)
	}},
	{"list names", ":portal :program :see :talk org.freedesktop.DBus org.freedesktop.portal.Desktop org.test.See org.test.Talk org.wide.Name", ":denied :portal :program :see :talk org.freedesktop.DBus org.freedesktop.portal.Desktop org.freedesktop.portal.Flatpak org.test.See org.test.Talk org.wide.Name",
		func(s *scene) string { return s.names("ListNames") }},
	{"list names that can be started", "org.freedesktop.DBus org.test.Started", "", func(s *scene) string { return s.names("ListActivatableNames") }},
	{"ask whether a seen name has an owner", "true", "", func(s *scene) string { return s.ask("NameHasOwner", "org.test.See") }},
	{"ask whether a hidden name has one", "false", "", func(s *scene) string { return s.ask("NameHasOwner", "org.test.Hidden") }},
	{"ask for a hidden name's owner", "NameHasNoOwner", "", func(s *scene) string { return s.ask("GetNameOwner", "org.test.Hidden") }},
	{"ask for the user of a seen peer", fmt.Sprint(os.Getuid()), "", func(s *scene) string { return s.ask("GetConnectionUnixUser", unique(s.see)) }},
	{"ask for the process of a hidden peer", "NameHasNoOwner", "ServiceUnknown", func(s *scene) string { return s.ask("GetConnectionUnixProcessID", unique(s.hidden)) }},
	{"ask for the credentials of a hidden peer", "NameHasNoOwner", "ServiceUnknown", func(s *scene) string { return s.ask("GetConnectionCredentials", unique(s.hidden)) }},
	{"ask for the credentials of a seen peer", "ProcessID UnixUserID", "ProcessID UnixGroupIDs UnixUserID", func(s *scene) string {
		var all map[string]dbus.Variant
		if err := s.program.BusObject().Call(busName+".GetConnectionCredentials", 0, unique(s.see)).Store(&all); err != nil {
			return errorName(err)
		}
		var keys []string
		for key := range all {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return strings.Join(keys, " ")
	}},
	{"start a granted name", "Spawn.ChildExited", "", func(s *scene) string { return s.ask("StartServiceByName", "org.test.Started", uint32(0)) }},
	{"start a hidden name", "ServiceUnknown", "", func(s *scene) string { return s.ask("StartServiceByName", "org.hidden.Started", uint32(0)) }},
	{"own a name of the application", "1", "", func(s *scene) string { return s.ask("RequestName", "org.nuka.App.Window", uint32(4)) }},
	{"own a granted name", "AccessDenied", "", func(s *scene) string { return s.ask("RequestName", "org.test.Talk", uint32(4)) }},
	{"own a hidden name", "AccessDenied", "ServiceUnknown", func(s *scene) string { return s.ask("RequestName", "org.test.Mine", uint32(4)) }},
	{"release a hidden name", "AccessDenied", "ServiceUnknown", func(s *scene) string { return s.ask("ReleaseName", "org.test.Hidden") }},
	{"monitor the bus", "AccessDenied", "", func(s *scene) string {
		return s.ask("org.freedesktop.DBus.Monitoring.BecomeMonitor", []string{}, uint32(0))
	}},
	{"set the environment of services", "AccessDenied", "", func(s *scene) string {
		return s.ask("UpdateActivationEnvironment", map[string]string{"LD_PRELOAD": "/x.so"})
	}},
	{"reload the bus's configuration", "AccessDenied", "", func(s *scene) string { return s.ask("ReloadConfig") }},
	{"ask for queued owners", "AccessDenied", "ServiceUnknown", func(s *scene) string { return s.ask("ListQueuedOwners", "org.test.Hidden") }},
	{"say hello again", "Failed", "no answer", func(s *scene) string { return s.ask("Hello") }},
	{"eavesdrop", "AccessDenied", "", func(s *scene) string { return s.ask("AddMatch", "eavesdrop='true'") }},
	{"eavesdrop, with spaces", "AccessDenied", "", func(s *scene) string { return s.ask("AddMatch", " eavesdrop ='true'") }},
	{"remove the filter's own match rule", "MatchRuleNotFound", "", func(s *scene) string { return s.ask("RemoveMatch", ownerRules(policy())[0]) }},
	{"remove an own match rule", "", "", func(s *scene) string {
		return s.ask("AddMatch", "member='Removed'") + s.ask("RemoveMatch", "member='Removed'")
	}},
	{"hear a granted name", "yes", "", func(s *scene) string { return s.heard(s.talk, "/org/test", "org.test.Echo.Talk") }},
	{"hear a seen name", "no", "", func(s *scene) string { return s.heard(s.see, "/org/test", "org.test.Echo.See") }},
	{"hear a hidden name", "no", "", func(s *scene) string { return s.heard(s.hidden, "/org/test", "org.test.Echo.Hidden") }},
	{"hear a portal", "yes", "", func(s *scene) string {
		return s.heard(s.portal, "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Test.Changed")
	}},
	{"hear another object of a portal", "no", "", func(s *scene) string { return s.heard(s.portal, "/org/test", "org.test.Echo.Portal") }},
	{"hear that a hidden name has an owner", "no", "", func(s *scene) string {
		s.ask("AddMatch", "member='NameOwnerChanged'")
		_, _ = s.hidden.RequestName("org.test.Hidden2", 0)
		return s.wait(s.hidden, busName+".NameOwnerChanged")
	}},
	{"hear that a granted name has an owner", "yes", "", func(s *scene) string {
		s.ask("AddMatch", "member='NameOwnerChanged'")
		_, _ = s.hidden.RequestName("org.wide.Other", 0)
		return s.wait(s.hidden, busName+".NameOwnerChanged")
	}},
	{"call a peer that released the granted name", "NameHasNoOwner", "ok", func(s *scene) string {
		if got := s.call(unique(s.talk), "/org/test", echoes, "x"); got != "ok" {
			return got
		}
		for _, name := range []string{"org.test.Talk", "org.wide.Name"} {
			_, _ = s.talk.ReleaseName(name)
		}
		s.ask("GetId") // by its reply the filter has learned of the release
		return s.call(unique(s.talk), "/org/test", echoes, "x")
	}},
	{"call the new owner of a granted name", "ok", "", func(s *scene) string {
		_, _ = s.hidden.RequestName("org.test.Talk", dbus.NameFlagReplaceExisting)
		_, _ = s.talk.ReleaseName("org.test.Talk")
		s.ask("GetId")
		return s.call(unique(s.hidden), "/org/test", echoes, "x")
	}},
	{"send a signal to everybody", "yes", "", func(s *scene) string { return s.received(s.hidden, "") }},
	{"send a signal to a granted name", "yes", "", func(s *scene) string { return s.received(s.talk, "org.test.Talk") }},
	{"send a signal to a seen name", "no", "", func(s *scene) string { return s.received(s.see, "org.test.See") }},
	{"send a signal to a hidden peer", "no", "", func(s *scene) string { return s.received(s.hidden, unique(s.hidden)) }},
	{"answer a hidden caller", "ok", "", func(s *scene) string {
		_ = s.program.Export(echo{}, "/org/test", "org.test.Echo")
		return errorName(say(s.hidden, unique(s.program)))
	}},
	{"see a hidden caller", "", "", func(s *scene) string {
		_ = s.program.Export(echo{}, "/org/test", "org.test.Echo")
		_ = say(s.hidden, unique(s.program))
		return strings.TrimPrefix(s.ask("GetNameOwner", unique(s.hidden)), unique(s.hidden))
	}},
	{"call a hidden caller", "AccessDenied", "", func(s *scene) string {
		_ = s.program.Export(echo{}, "/org/test", "org.test.Echo")
		_ = say(s.hidden, unique(s.program))
		return s.call(unique(s.hidden), "/org/test", echoes, "x")
	}},
}

func TestDecisions(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			bus := daemon(t)
			filter, log := proxy(t, bus, policy())
			if got := d.try(newScene(t, bus, filter)); got != d.want {
				t.Errorf("got %q, want %q; the log: %s", got, d.want, log)
			}
		})
	}
}

// TestBesideXdgDbusProxy runs the same decisions through xdg-dbus-proxy, and compares.
func TestBesideXdgDbusProxy(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it compares with another program: NUKA_LONG=1 go test ./foreign/bus -run TestBesideXdgDbusProxy")
	}
	prog, err := exec.LookPath("xdg-dbus-proxy")
	if err != nil {
		t.Skip("apt install xdg-dbus-proxy")
	}
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			bus := daemon(t)
			path := filepath.Join(folder(t), "proxy")
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.CommandContext(t.Context(), prog, "--fd=3", bus, path, "--filter", "--talk=org.test.Talk", "--see=org.test.See", "--talk=org.test.Started",
				"--talk=org.wide.*", "--own=org.nuka.App.*", "--call=org.freedesktop.portal.*=*", "--broadcast=org.freedesktop.portal.*=@/org/freedesktop/portal/*")
			cmd.ExtraFiles = []*os.File{w}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Wait() })
			w.Close()
			if _, err := r.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			want := d.want
			if d.theirs != "" {
				want = d.theirs
			}
			if got := d.try(newScene(t, bus, "unix:path="+path)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}
