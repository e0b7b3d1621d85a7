package foreign

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// newBox returns a box with a small tree and empty folders.
func newBox(t *testing.T) *Box {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tree/usr/bin", "tree/etc/ssl/certs", "tree/var/lib/x", "tree/var/tmp", "user", "private", "nuka/keys"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/bin", filepath.Join(dir, "tree/bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tree/etc/passwd"), []byte("root:*:0:0:root:/root:/bin/bash\nme:*:7:7::/:/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return &Box{
		App: "app", Tree: filepath.Join(dir, "tree"), Home: filepath.Join(dir, "private"), UserHome: filepath.Join(dir, "user"), User: "me", UID: 1001, GID: 1001,
		Hidden: []string{filepath.Join(dir, "nuka")}, Getenv: func(string) string { return "" }, Session: Session{Getenv: func(string) string { return "" }},
	}
}

func target(l *Layout, at string) *sandbox.Mount {
	i := slices.IndexFunc(l.Mounts, func(m sandbox.Mount) bool { return m.Target == at })
	if i < 0 {
		return nil
	}
	return &l.Mounts[i]
}

func TestLayout(t *testing.T) {
	b := newBox(t)
	l, err := b.Layout()
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]sandbox.Kind{
		"/usr": sandbox.RO, "/bin": sandbox.Symlink, "/var": sandbox.Tmpfs, "/var/lib": sandbox.RO, "/var/tmp": sandbox.Dir, "/tmp": sandbox.Tmpfs, "/etc/passwd": sandbox.File,
		b.UserHome: sandbox.RW, "/proc": sandbox.Proc, "/dev": sandbox.Dev,
	} {
		if m := target(l, at); m == nil || m.Kind != want {
			t.Errorf("%s: got %+v, want %s", at, m, want)
		}
	}
	if got, want := string(target(l, "/etc/passwd").Content), "me:x:1001:1001::"+b.UserHome+":/bin/sh\nroot:*:0:0:root:/root:/bin/bash\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	spec := &sandbox.Spec{Mounts: l.Mounts, Argv: []string{"true"}, Env: l.Environ(b.Getenv, nil), Dir: l.Dir("/")}
	if err := spec.Check(); err != nil {
		t.Error(err)
	}
}

// TestHidden checks that no permission shows what is hidden, by whatever path.
func TestHidden(t *testing.T) {
	b := newBox(t)
	nuka, dir := b.Hidden[0], filepath.Dir(b.Hidden[0])
	link := filepath.Join(b.UserHome, "link")
	if err := os.Symlink("../nuka", link); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{nuka, nuka + "/keys", link, link + "/keys", dir + "/user/../nuka", "/proc", "/proc/1", "/sys/kernel", "/dev/null", "/", "/usr", "/etc"} {
		p, err := permission.Permission{Kind: permission.Files, Name: at, Access: "ro"}.Resolve("", "")
		if err != nil {
			t.Fatal(err)
		}
		b.Grants, b.Given = []permission.Permission{p}, []permission.Permission{p}
		if _, err := b.Layout(); protocol.CodeOf(err) != protocol.Denied {
			t.Errorf("%s: got %v, want Denied", at, err)
		}
	}
	made := permission.Permission{Kind: permission.Files, Name: link + "/made/deep", Access: "create"}
	b.Grants, b.Given = []permission.Permission{made}, []permission.Permission{made}
	if _, err := b.Layout(); protocol.CodeOf(err) != protocol.Denied {
		t.Errorf("to be made inside: got %v, want Denied", err)
	}
	if _, err := os.Stat(nuka + "/made"); err == nil {
		t.Error("a folder was made inside")
	}
	b.Grants = []permission.Permission{{Kind: permission.Files, Name: dir, Access: "rw"}}
	l, err := b.Layout()
	if err != nil {
		t.Fatal(err)
	}
	cover := slices.IndexFunc(l.Mounts, func(m sandbox.Mount) bool { return m.Target == nuka && m.Kind == sandbox.Tmpfs })
	shown := slices.IndexFunc(l.Mounts, func(m sandbox.Mount) bool { return m.Target == dir })
	if shown < 0 || cover < shown {
		t.Errorf("a folder around it: shown at %d, covered at %d", shown, cover)
	}
}

// TestPlaces checks that a link which a program left in its home makes nothing outside of it.
func TestPlaces(t *testing.T) {
	b := newBox(t)
	outside := t.TempDir()
	documents := filepath.Join(b.UserHome, "sub", "documents")
	if err := os.MkdirAll(documents, 0o755); err != nil {
		t.Fatal(err)
	}
	b.Grants = []permission.Permission{{Kind: permission.Files, Name: documents, Access: "ro"}}
	if _, err := b.Layout(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.Home, "sub", "documents")); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(filepath.Join(b.Home, "sub")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(b.Home, "sub")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Layout(); err == nil {
		t.Error("a link in the way: no error")
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("outside: %v, %v", list, err)
	}
}
