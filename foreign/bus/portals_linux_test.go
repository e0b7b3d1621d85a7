package bus

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

const (
	desktop     = "org.freedesktop.portal.Desktop"
	desktopPath = "/org/freedesktop/portal/desktop"
	documents   = "org.freedesktop.portal.Documents"
)

// A session of a desktop, for a test: a bus, a display, and the real portals with the GTK backend.
type portalSession struct {
	bus, runtime, home string
	env                []string
}

// service starts a program of the session, whose output is shown if the test fails.
func (s *portalSession) service(t *testing.T, name string, args ...string) {
	t.Helper()
	file, err := os.Create(filepath.Join(s.home, filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Wait()
		_ = file.Close()
		if b, err := os.ReadFile(file.Name()); t.Failed() && err == nil {
			t.Logf("%s: %s", name, b)
		}
	})
}

func newPortalSession(t *testing.T) *portalSession {
	t.Helper()
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("it starts a desktop's portals: NUKA_LONG=1 go test ./foreign/bus -run TestPortals")
	}
	const need = "apt install xdg-desktop-portal xdg-desktop-portal-gtk xvfb xdotool fuse3"
	if os.Geteuid() != 0 {
		t.Skip("it mounts: run it as root")
	}
	for _, prog := range []string{"Xvfb", "xdotool", "fusermount3", "/usr/libexec/xdg-desktop-portal", "/usr/libexec/xdg-desktop-portal-gtk"} {
		if _, err := exec.LookPath(prog); err != nil {
			t.Skip(need)
		}
	}
	s := &portalSession{bus: daemon(t), runtime: folder(t), home: folder(t)}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.CommandContext(t.Context(), "Xvfb", "-displayfd", "3", "-screen", "0", "1000x700x24", "-nolisten", "tcp")
	x.ExtraFiles = []*os.File{w}
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.Wait() })
	_ = w.Close()
	display, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb: %v", err)
	}
	s.env = append(os.Environ(), "DBUS_SESSION_BUS_ADDRESS="+s.bus, "XDG_RUNTIME_DIR="+s.runtime, "HOME="+s.home, "DISPLAY=:"+strings.TrimSpace(display),
		"XDG_CURRENT_DESKTOP=gnome", "NO_AT_BRIDGE=1", "GTK_A11Y=none", "GSETTINGS_BACKEND=memory", "GDK_BACKEND=x11", "XDG_DATA_HOME="+s.home+"/.local/share",
		"XDG_CONFIG_HOME="+s.home+"/.config", "LC_ALL=C.UTF-8", "GTK_USE_PORTAL=0")
	outside := client(t, s.bus)
	for prog, name := range map[string]string{
		"xdg-permission-store": "org.freedesktop.impl.portal.PermissionStore", "xdg-document-portal": documents,
		"xdg-desktop-portal-gtk": "org.freedesktop.impl.portal.desktop.gtk",
	} {
		s.service(t, "/usr/libexec/"+prog)
		waitFor(t, outside, name)
	}
	t.Cleanup(func() { _ = exec.Command("fusermount3", "-u", "-z", s.runtime+"/doc").Run() })
	s.service(t, "/usr/libexec/xdg-desktop-portal", "-v")
	waitFor(t, outside, desktop)
	return s
}

func waitFor(t *testing.T, c *dbus.Conn, name string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var owned bool
		if err := c.BusObject().Call(busName+".NameHasOwner", 0, name).Store(&owned); err != nil {
			t.Fatal(err)
		}
		if owned {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not start", name)
		}
	}
}

// notifications is the object of a desktop that shows notifications.
type notifications struct{ got chan string }

func (n notifications) Notify(_ string, _ uint32, _, title, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.got <- title + ": " + body
	return 1, nil
}

func (notifications) GetServerInformation() (name, vendor, version, spec string, err *dbus.Error) {
	return "test", "nuka", "1", "1.2", nil
}

func (notifications) GetCapabilities() ([]string, *dbus.Error) { return []string{"body"}, nil }

// TestPortals is a program in a sandbox with the real portals: a file that the user chooses outside is readable inside, and its neighbour is not.
func TestPortals(t *testing.T) {
	s := newPortalSession(t)
	shown := notifications{make(chan string, 10)}
	shell := peer(t, s.bus, "org.freedesktop.Notifications")
	if err := shell.Export(shown, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(s.home, "papers")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	chosen, neighbour := filepath.Join(folder, "chosen.txt"), filepath.Join(folder, "neighbour.txt")
	for _, name := range []string{chosen, neighbour} {
		if err := os.WriteFile(name, []byte("text of "+filepath.Base(name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	mount, err := StartDocuments(ctx, s.bus)
	if err != nil || mount != s.runtime+"/doc" {
		t.Fatalf("the document portal: got %q, %v", mount, err)
	}
	app := AppID("test_app")
	info := FlatpakInfo(&Instance{App: app, ID: "4711", Runtime: "base", Network: true})
	lines := s.program(t, app, info, mount, chosen, neighbour)
	for _, want := range []string{
		"settings: ok", "notification: ok", "version: ok", "mount: " + mount, "permission store: ServiceUnknown", "backend: ServiceUnknown", "openuri: ok",
		"chosen: text of chosen.txt", "beside: no such file or directory", "original: no such file or directory", "neighbour: no such file or directory",
	} {
		if !strings.Contains("\n"+lines, "\n"+want+"\n") {
			t.Errorf("the program did not say %q, but: %s", want, lines)
		}
	}
	select {
	case got := <-shown.got:
		if got != "hello: from inside" {
			t.Errorf("the notification: got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("no notification was shown")
	}
	// Another application sees nothing of the file, also where it knows the path.
	_, document, _ := strings.Cut(lines, "\ndocument: ")
	document, _, _ = strings.Cut(document, "\n")
	other := s.program(t, AppID("other"), FlatpakInfo(&Instance{App: AppID("other"), ID: "4712", Runtime: "base"}), mount, "", document)
	if want := "documents: 0\nforeign: no such file or directory\n"; document == "" || !strings.Contains(other, want) {
		t.Errorf("another application: got %s, want %q", other, want)
	}
}

// program runs insideProgram in a sandbox behind a filter, chooses a file in the dialog when it asks for one, and returns what it says.
func (s *portalSession) program(t *testing.T, app string, info []byte, mount, chosen, neighbour string) string {
	t.Helper()
	dir := filepath.Join(s.runtime, app)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	busDir := filepath.Dir(strings.TrimPrefix(strings.Split(s.bus, ",")[0], "unix:path="))
	filter := exec.CommandContext(t.Context(), "/proc/self/exe", "--bus", s.bus, "--socket", dir+"/bus", "--app", app, "--ready", "3")
	filter.Path, filter.Env, filter.Stderr = os.Args[0], append(os.Environ(), "BUS_FILTER=1"), os.Stderr
	inRoot(t, filter, info, Bind{busDir, busDir}, Bind{dir, dir})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	filter.ExtraFiles = []*os.File{w}
	if err := filter.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = filter.Process.Kill(), filter.Wait() })
	_ = w.Close()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatalf("the filter: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], chosen, neighbour)
	cmd.Env, cmd.Stderr = append(os.Environ(), "BUS_INSIDE=1"), os.Stderr
	inRoot(t, cmd, info, append(DocumentBinds(mount, app), Bind{dir, "/run/bus"})...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for in := bufio.NewReader(out); ; {
		line, err := in.ReadString('\n')
		said.WriteString(line)
		if line == "choosing\n" {
			s.choose(t, chosen)
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program: %v: %s", err, &said)
	}
	return said.String()
}

// choose types a path into the dialog of the GTK backend, as a user would.
func (s *portalSession) choose(t *testing.T, path string) {
	t.Helper()
	x := func(args ...string) string {
		cmd := exec.Command("xdotool", args...)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("xdotool %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	window := x("search", "--sync", "--onlyvisible", "--name", "^Choose a paper$")
	window, _, _ = strings.Cut(window, "\n")
	x("windowfocus", "--sync", window)
	time.Sleep(time.Second) // the dialog has no sign that it takes keys
	x("type", "--delay", "40", path)
	time.Sleep(time.Second) // nor that it has found the file
	x("key", "Return")
}

// insideProgram is the sandboxed program: it calls portals, and says what it got.
func insideProgram(chosen, neighbour string) {
	say := func(what string, got any) { fmt.Printf("%s: %v\n", what, got) }
	read := func(what, name string) {
		b, err := os.ReadFile(name)
		if e, ok := err.(*os.PathError); ok { //nolint:errorlint // os returns it as it is
			say(what, e.Err)
			return
		}
		say(what, string(b))
	}
	c, err := dbus.Connect("unix:path=/run/bus/bus")
	if err != nil {
		say("connect", err)
		return
	}
	entries, _ := os.ReadDir("/run/flatpak/doc")
	n := 0
	for _, e := range entries {
		if e.Name() != "by-app" {
			n++
		}
	}
	say("documents", n)
	if chosen == "" {
		read("foreign", neighbour)
		return
	}
	portal := c.Object(desktop, desktopPath)
	call := func(what, member string, args ...any) {
		say(what, errorName(portal.Call("org.freedesktop.portal."+member, 0, args...).Err))
	}
	call("settings", "Settings.ReadAll", []string{"org.freedesktop.*"})
	call("notification", "Notification.AddNotification", "one", map[string]dbus.Variant{"title": dbus.MakeVariant("hello"), "body": dbus.MakeVariant("from inside")})
	_, err = portal.GetProperty("org.freedesktop.portal.OpenURI.version")
	say("version", errorName(err))
	var mount []byte
	_ = c.Object(documents, "/org/freedesktop/portal/documents").Call(documents+".GetMountPoint", 0).Store(&mount)
	say("mount", strings.TrimRight(string(mount), "\x00"))
	const store = "org.freedesktop.impl.portal.PermissionStore"
	say("permission store", errorName(c.Object(store, "/org/freedesktop/impl/portal/PermissionStore").Call(store+".List", 0, "notifications").Err))
	say("backend", errorName(c.Object("org.freedesktop.impl.portal.desktop.gtk", desktopPath).Call("org.freedesktop.DBus.Peer.Ping", 0).Err))

	// At the end, because its dialog would take the keys of the other.
	defer func() { call("openuri", "OpenURI.OpenURI", "", "https://example.invalid/", map[string]dbus.Variant{}) }()
	responses := make(chan *dbus.Signal, 10)
	c.Signal(responses)
	if err := c.AddMatchSignal(dbus.WithMatchInterface("org.freedesktop.portal.Request"), dbus.WithMatchMember("Response")); err != nil {
		say("match", err)
	}
	var handle dbus.ObjectPath
	options := map[string]dbus.Variant{"handle_token": dbus.MakeVariant("nuka1")}
	err = portal.Call("org.freedesktop.portal.FileChooser.OpenFile", 0, "", "Choose a paper", options).Store(&handle)
	say("handle", errorName(err))
	fmt.Println("choosing")
	for timeout := time.After(20 * time.Second); ; {
		select {
		case r := <-responses:
			if r.Path != handle || len(r.Body) < 2 {
				continue
			}
			results, _ := r.Body[1].(map[string]dbus.Variant)
			uris, _ := results["uris"].Value().([]string)
			if len(uris) != 1 {
				return
			}
			u, _ := url.Parse(uris[0])
			say("document", u.Path)
			read("chosen", u.Path)
			read("beside", filepath.Join(filepath.Dir(u.Path), filepath.Base(neighbour)))
			read("original", chosen)
			read("neighbour", neighbour)
			return
		case <-timeout:
			say("response", "none")
			return
		}
	}
}
