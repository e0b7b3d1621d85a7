package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// put writes files below dir, by name.
func put(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTree checks each kind of mount.
func TestTree(t *testing.T) {
	needSpaces(t)
	dir := put(t, folder(t), map[string]string{
		"ro/f": "ro", "rw/f": "rw", "a/x": "a", "a/only-a": "1", "b/x": "b", "b/with:colon,comma\\/f": "odd", "upper/.keep": "", "work/.keep": "", "etc/passwd": "host", "etc/hosts": "host",
	})
	at := func(p string) string { return filepath.Join(dir, p) }
	for _, c := range []struct {
		name   string
		mounts []sandbox.Mount
		script string
		want   string
	}{
		{"read-only", []sandbox.Mount{{Kind: sandbox.RO, Source: at("ro"), Target: "/a/b/c"}}, "cat /a/b/c/f; (echo x >/a/b/c/f) 2>/dev/null || echo no", "rono\n"},
		{"file", []sandbox.Mount{{Kind: sandbox.RO, Source: at("ro/f"), Target: "/x/y"}}, "cat /x/y", "ro"},
		{"writable", []sandbox.Mount{{Kind: sandbox.RW, Source: at("rw"), Target: "/rw"}}, "echo new >/rw/g; mkdir /rw/d; mv /rw/g /rw/d/h; cat /rw/d/h; rm -r /rw/d", "new\n"},
		{"read-only in writable", []sandbox.Mount{{Kind: sandbox.RW, Source: dir, Target: "/d"}, {Kind: sandbox.RO, Source: at("ro"), Target: "/d/ro"}}, "(echo x >/d/ro/f) 2>/dev/null || echo no; echo y >/d/rw/f; cat /d/rw/f", "no\ny\n"},
		{"overlay", []sandbox.Mount{{Kind: sandbox.Overlay, Lower: []string{at("a"), at("b")}, Target: "/o"}}, "cat /o/x /o/only-a /o/with*/f; (echo x >/o/x) 2>/dev/null || echo no", "a1oddno\n"},
		{"overlay of one", []sandbox.Mount{{Kind: sandbox.Overlay, Lower: []string{at("a")}, Target: "/o"}}, "cat /o/x; (echo x >/o/x) 2>/dev/null || echo no", "ano\n"},
		{"overlay of odd names", []sandbox.Mount{{Kind: sandbox.Overlay, Lower: []string{at("b/with:colon,comma\\"), at("a")}, Target: "/o"}}, "cat /o/f /o/x", "odda"},
		{"writable overlay", []sandbox.Mount{{Kind: sandbox.Overlay, Lower: []string{at("a"), at("b")}, Upper: at("upper"), Work: at("work"), Target: "/o"}}, "echo new >/o/x; rm /o/only-a; cat /o/x; ls /o", "new\nwith:colon,comma\\\nx\n"},
		{"temporary", []sandbox.Mount{{Kind: sandbox.Tmpfs, Target: "/t", Size: 1 << 20, Mode: 0o700}}, "stat -c %a /t; head -c 2000000 /dev/zero 2>/dev/null >/t/f || echo full", "700\nfull\n"},
		{"link", []sandbox.Mount{link("/l/to", "../etc/x"), {Kind: sandbox.File, Target: "/etc/x", Content: []byte("text")}}, "readlink /l/to; cat /l/to", "../etc/x\ntext"},
		{"file with bytes", []sandbox.Mount{{Kind: sandbox.File, Target: "/f", Content: []byte("text"), Mode: 0o400}}, "stat -c %a /f; cat /f; (chmod 600 /f && echo x >/f) 2>/dev/null || echo no", "400\ntextno\n"},
		{"file over a file", []sandbox.Mount{{Kind: sandbox.RO, Source: at("etc"), Target: "/etc"}, {Kind: sandbox.File, Target: "/etc/passwd", Content: []byte("ours")}}, "cat /etc/passwd /etc/hosts; (echo x >/etc/passwd) 2>/dev/null || echo no", "ourshostno\n"},
		{"file in a temporary", []sandbox.Mount{{Kind: sandbox.File, Target: "/tmp/f", Content: []byte("ours")}}, "cat /tmp/f; (rm -f /tmp/f || echo x >/tmp/f) 2>/dev/null || echo no", "oursno\n"},
		{"folder", []sandbox.Mount{{Kind: sandbox.Dir, Target: "/d/e", Mode: 0o711}}, "stat -c %a /d /d/e; (mkdir /d/e/f) 2>/dev/null || echo no", "755\n711\nno\n"},
		{"devices", nil, "echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; ls /dev; echo y >/dev/shm/f; cat /dev/shm/f; test -c /dev/ptmx && echo pty", " 00 00 00\nfd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\ny\npty\n"},
		{"order", []sandbox.Mount{{Kind: sandbox.RO, Source: at("a"), Target: "/x"}, {Kind: sandbox.RO, Source: at("b"), Target: "/x"}}, "cat /x/x", "b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustRun(t, system(c.mounts...), "sh", "-c", c.script)
			if r.out != c.want || r.err != "" {
				t.Errorf("got %q, want %q, stderr %q", r.out, c.want, r.err)
			}
		})
	}
	if b, err := os.ReadFile(at("a/x")); err != nil || string(b) != "a" {
		t.Errorf("the lower folder has %q, %v", b, err)
	}
	if b, err := os.ReadFile(at("upper/x")); err != nil || string(b) != "new\n" {
		t.Errorf("the upper folder has %q, %v", b, err)
	}
}

// TestHostGone looks for the tree of the host above the root, where a path that goes up would lead, with each way by which the root is built.
func TestHostGone(t *testing.T) {
	needSpaces(t)
	dir := put(t, folder(t), map[string]string{"etc/passwd": "host"})
	for name, mounts := range map[string][]sandbox.Mount{
		"plain":                 nil,
		"a file":                {{Kind: sandbox.File, Target: "/f", Content: []byte("text")}},
		"a file over a file":    {{Kind: sandbox.RO, Source: filepath.Join(dir, "etc"), Target: "/etc"}, {Kind: sandbox.File, Target: "/etc/passwd", Content: []byte("ours")}},
		"a file in a temporary": {{Kind: sandbox.Tmpfs, Target: "/run"}, {Kind: sandbox.File, Target: "/run/a/b", Content: []byte("ours")}},
	} {
		t.Run(name, func(t *testing.T) {
			const look = "for d in /usr/.. /dev/.. /tmp/..; do test $d -ef / || echo $d leads out; done; grep -c ' / / ' /proc/self/mountinfo"
			if r := mustRun(t, system(mounts...), "sh", "-c", look); r.out != "1\n" {
				t.Errorf("got %q, stderr %q", r.out, r.err)
			}
		})
	}
}

// TestRootMount checks a Spec whose root is a given tree.
func TestRootMount(t *testing.T) {
	needSpaces(t)
	dir := folder(t)
	for _, d := range []string{"usr", "proc", "dev", "tmp", "etc"} {
		put(t, dir, map[string]string{d + "/.keep": ""})
	}
	for _, l := range []string{"lib", "lib64"} {
		if err := os.Symlink("usr/"+l, filepath.Join(dir, l)); err != nil {
			t.Fatal(err)
		}
	}
	s := &sandbox.Spec{Env: []string{"PATH=/usr/bin"}, Mounts: []sandbox.Mount{{Kind: sandbox.RO, Source: dir, Target: "/"}, {Kind: sandbox.RO, Source: "/usr", Target: "/usr"}, {Kind: sandbox.Proc, Target: "/proc"}, {Kind: sandbox.Tmpfs, Target: "/tmp"},
		{Kind: sandbox.File, Target: "/etc/.keep", Content: []byte("ours")}}}
	r := mustRun(t, s, "sh", "-c", "cat /etc/.keep; (echo x >/x) 2>/dev/null || echo no; echo y >/tmp/y; ls /tmp")
	if want := "oursno\ny\n"; r.out != want {
		t.Errorf("got %q, want %q, stderr %q", r.out, want, r.err)
	}
	s.Mounts = append(s.Mounts, sandbox.Mount{Kind: sandbox.Dir, Target: "/new"})
	if _, err := run(t, t.Context(), s, sandbox.Options{}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a folder was made in a tree of the host: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "new")); err == nil {
		t.Error("the host has a new folder")
	}
}

// TestRefusedMounts checks that sources and targets do not lead over links, and that nothing is created in folders of the host.
func TestRefusedMounts(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	links := folder(t)
	for name, to := range map[string]string{"link": h.dir, "file": h.secret} {
		if err := os.Symlink(to, filepath.Join(links, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(h.granted, "etc")); err != nil {
		t.Fatal(err)
	}
	granted := sandbox.Mount{Kind: sandbox.RW, Source: h.granted, Target: "/granted"}
	for name, c := range map[string]struct {
		mounts []sandbox.Mount
		errno  unix.Errno
	}{
		"source is a link":               {[]sandbox.Mount{{Kind: sandbox.RO, Source: filepath.Join(links, "file"), Target: "/x"}}, unix.ELOOP},
		"source is below a link":         {[]sandbox.Mount{{Kind: sandbox.RW, Source: filepath.Join(links, "link/granted"), Target: "/x"}}, unix.ELOOP},
		"source is a link of proc":       {[]sandbox.Mount{{Kind: sandbox.RO, Source: "/proc/self/root", Target: "/x"}}, unix.ELOOP},
		"lower is below a link":          {[]sandbox.Mount{{Kind: sandbox.Overlay, Lower: []string{filepath.Join(links, "link/granted"), h.readOnly}, Target: "/x"}}, unix.ELOOP},
		"source does not exist":          {[]sandbox.Mount{{Kind: sandbox.RO, Source: h.dir + "/none", Target: "/x"}}, unix.ENOENT},
		"target is below a granted link": {[]sandbox.Mount{granted, {Kind: sandbox.Tmpfs, Target: "/granted/etc/new"}}, unix.ELOOP},
		"target is in a granted folder":  {[]sandbox.Mount{granted, {Kind: sandbox.Tmpfs, Target: "/granted/new"}}, unix.ENOENT},
		"file is in a granted folder":    {[]sandbox.Mount{granted, {Kind: sandbox.File, Target: "/granted/new", Content: []byte("x")}}, unix.ENOENT},
		"a device that is none":          {[]sandbox.Mount{{Kind: sandbox.Device, Source: h.secret, Target: "/x"}}, 0},
		"a device that is not called so": {[]sandbox.Mount{{Kind: sandbox.RW, Source: "/dev/null", Target: "/x"}}, 0},
	} {
		s := box(c.mounts...)
		s.Argv = []string{"probe"}
		_, err := run(t, t.Context(), s, sandbox.Options{})
		var setup *sandbox.SetupError
		if !errors.As(err, &setup) || setup.Errno != c.errno {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(h.granted, "new")); err == nil {
		t.Error("something was created in a granted folder")
	}
}

// TestReplacedSource replaces a granted folder by a link to the secret while sandboxes start. The program sees the folder, or the start fails.
func TestReplacedSource(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	grant := filepath.Join(h.dir, "race")
	put(t, filepath.Join(h.dir, "away"), map[string]string{"mark": "mine"})
	put(t, filepath.Join(h.dir, "victim"), map[string]string{"mark": secretText})
	if err := os.Symlink(filepath.Join(h.dir, "victim"), filepath.Join(h.dir, "trap")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(h.dir, "away"), grant); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan int)
	go func() {
		n := 0
		for !stop.Load() { // folder and link change places at once
			if err := unix.Renameat2(unix.AT_FDCWD, grant, unix.AT_FDCWD, filepath.Join(h.dir, "trap"), unix.RENAME_EXCHANGE); err == nil {
				n++
			}
		}
		done <- n
	}()
	refused, mine := 0, 0
	for range 60 {
		s := system(sandbox.Mount{Kind: sandbox.RW, Source: grant, Target: "/g"})
		s.Argv = []string{"cat", "/g/mark"}
		r, err := run(t, t.Context(), s, sandbox.Options{})
		switch {
		case errors.Is(err, unix.ELOOP):
			refused++
		case err == nil && r.out == "mine":
			mine++
		default:
			t.Errorf("got %q, %q, %v", r.out, r.err, err)
		}
	}
	stop.Store(true)
	t.Logf("%d exchanges; refused %d, own folder %d", <-done, refused, mine)
	if refused == 0 || mine == 0 {
		t.Log("the exchanges did not hit both sides")
	}
}

// TestDescriptors checks which descriptors a program gets.
func TestDescriptors(t *testing.T) {
	needSpaces(t)
	h := newHost(t)
	dir, err := os.Open(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s := system()
	s.Argv = []string{"cat"}
	for _, opt := range []sandbox.Options{{Stdin: dir}, {Extra: []*os.File{dir}}} {
		var setup *sandbox.SetupError
		if _, err := run(t, t.Context(), s, opt); !errors.As(err, &setup) || !strings.Contains(setup.Detail, "folder") {
			t.Errorf("a folder as descriptor: got %v", err)
		}
	}
	var files []*os.File
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, fmt.Sprint("pipe ", i, "\n"))
		w.Close()
		defer r.Close()
		files = append(files, r)
	}
	s.Argv = []string{"sh", "-c", "cat; cat <&3; cat <&4; ls /proc/self/fd"}
	r, err := run(t, t.Context(), s, sandbox.Options{Stdin: files[0], Extra: files[1:]})
	if want := "pipe 0\npipe 1\npipe 2\n0\n1\n2\n3\n4\n5\n"; err != nil || r.out != want { // ls opens 5 itself
		t.Errorf("got %q, %v, want %q", r.out, err, want)
	}
	out := filepath.Join(h.dir, "out")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.Argv = []string{"sh", "-c", "echo one; echo two >/dev/stdout; echo three >>/proc/self/fd/1"}
	if _, err := sandbox.Run(t.Context(), launcher(), s, &sandbox.Options{Stdout: f, Stderr: f}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(out); err != nil || !strings.Contains(string(b), "three") {
		t.Errorf("got %q, %v", b, err)
	}
}
