package fsmount_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/fsmount/checkout"
	"github.com/MordragT/nuka/pir"
)

// A surface shows the packages of a store in one of the two ways.
type surface struct {
	store   *cas.Store
	show    func(t *testing.T, p pir.PID) string // returns the path of a package
	gone    func(t *testing.T, p pir.PID)
	mounted bool
}

func (s *surface) tree(t *testing.T, name string, tree fstest.MapFS) string {
	t.Helper()
	id, _ := castest.Package(t, s.store, castest.Key(1), name, tree)
	return s.show(t, id)
}

// TestSurfaces checks that packages look the same through a mount and as a checkout.
func TestSurfaces(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *surface)
	}{
		{"kinds", testKinds}, {"names", testNames}, {"deep", testDeep}, {"many", testMany}, {"exec", testExec}, {"mmap", testMmap},
		{"readers", testReaders}, {"refuses", testRefuses}, {"late", testLate}, {"roots", testRoots}, {"twins", testTwins},
	}
	for _, own := range []bool{false, true} {
		t.Run(map[bool]string{false: "mount", true: "mount without passthrough"}[own], func(t *testing.T) {
			m := mount(t, func(o *fsmount.Options) { o.NoPassthrough = own })
			s := &surface{
				store: m.store, mounted: true,
				show: func(_ *testing.T, p pir.PID) string { return filepath.Join(m.path, p.String()) },
				gone: func(t *testing.T, p pir.PID) {
					if err := errors.Join(m.store.Unbind(t.Context(), p), m.Changed(p)); err != nil {
						t.Fatal(err)
					}
				},
			}
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, s) })
			}
		})
	}
	t.Run("checkout", func(t *testing.T) {
		s := checkouts(t)
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) { test.run(t, s) })
		}
	})
}

func checkouts(t *testing.T) *surface {
	t.Helper()
	dir := t.TempDir()
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	c, err := checkout.Open(&checkout.Options{Store: store, Path: filepath.Join(dir, "mnt")})
	if err != nil {
		t.Fatal(err)
	}
	return &surface{
		store: store,
		show: func(t *testing.T, p pir.PID) string {
			path, err := c.Make(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			return path
		},
		gone: func(t *testing.T, p pir.PID) {
			if err := errors.Join(store.Unbind(t.Context(), p), c.Gone(p)); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// shown reads a tree as a program sees it.
func shown(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		if info.Mode().Type() != d.Type() {
			t.Errorf("%s: the folder says %s, the file %s", p, d.Type(), info.Mode().Type())
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if int64(len(b)) != info.Size() {
				t.Errorf("%s: %d bytes of %d", p, len(b), info.Size())
			}
			text += " " + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " " + target
		}
		all[strings.TrimPrefix(strings.TrimPrefix(p, root), "/")] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// expected returns what shown returns for a tree.
func expected(tree fstest.MapFS) map[string]string {
	all := map[string]string{"": "dr-xr-xr-x"}
	for p, f := range tree {
		for dir := filepath.Dir(p); dir != "."; dir = filepath.Dir(dir) {
			all[dir] = "dr-xr-xr-x"
		}
		switch {
		case f.Mode.IsDir():
			all[p] = "dr-xr-xr-x"
		case f.Mode&fs.ModeSymlink != 0:
			all[p] = "Lrwxrwxrwx " + string(f.Data)
		case f.Mode&0o111 != 0:
			all[p] = "-r-xr-xr-x " + string(f.Data)
		default:
			all[p] = "-r--r--r-- " + string(f.Data)
		}
	}
	return all
}

func same(t *testing.T, root string, tree fstest.MapFS) {
	t.Helper()
	if diff := cmp.Diff(expected(tree), shown(t, root)); diff != "" {
		t.Errorf("-want +got:\n%.2000s", diff)
	}
}

func testKinds(t *testing.T, s *surface) {
	tree := castest.Tree()
	tree["abs"] = &fstest.MapFile{Data: []byte("/bin/sh"), Mode: fs.ModeSymlink | 0o777}
	tree["up/and/down"] = &fstest.MapFile{Data: []byte("../../bin/tool"), Mode: fs.ModeSymlink | 0o777}
	root := s.tree(t, "kinds", tree)
	same(t, root, tree)
	same(t, root, tree) // what the kernel keeps is the same
	b, err := os.ReadFile(filepath.Join(root, "up/and/down"))
	if string(b) != "#!tool\n" {
		t.Errorf("through a relative link: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(root, "dangling")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dangling link: %v", err)
	}
	for range 2 { // the second answer is one that the kernel has kept
		if _, err := os.Lstat(filepath.Join(root, "bin/none")); !errors.Is(err, unix.ENOENT) {
			t.Errorf("a name that does not exist: %v", err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "bin/tool/x")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	a, err1 := os.Stat(filepath.Join(root, "bin/.."))
	b2, err2 := os.Stat(root)
	if err1 != nil || err2 != nil || !os.SameFile(a, b2) {
		t.Errorf("bin/.. is another folder: %v %v", err1, err2)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, "empty"), &st); err != nil || st.Nlink != 3 {
		t.Errorf("a folder with one folder has %d links, %v; want 3", st.Nlink, err)
	}
}

func testNames(t *testing.T, s *surface) {
	tree := fstest.MapFS{}
	for _, name := range []string{
		strings.Repeat("n", 255), strings.Repeat("ü", 127), "a b", " ", "-rf", "new\nline", "tab\t", `back\slash`, "*?[", "\x7f", "é", "e\u0301", "a", "A", "...", "..a", "日本",
	} {
		tree[name] = &fstest.MapFile{Data: []byte(name), Mode: 0o644}
	}
	same(t, s.tree(t, "names", tree), tree)
}

func testDeep(t *testing.T, s *surface) {
	dir := strings.Repeat("d/", 250)
	tree := fstest.MapFS{dir + "file": {Data: []byte("deep"), Mode: 0o644}}
	root := s.tree(t, "deep", tree)
	b, err := os.ReadFile(filepath.Join(root, dir, "file"))
	if string(b) != "deep" {
		t.Errorf("got %q, %v", b, err)
	}
	_, err = os.Stat(root + "/" + strings.Repeat("d/../", 1000))
	if !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a path of 5,000 bytes: %v", err)
	}
	if !s.mounted {
		return
	}
	long := strings.Repeat(strings.Repeat("l", 200)+"/", 25) // no path reaches its end, but steps do
	root = s.tree(t, "long", fstest.MapFS{long + "file": {Data: []byte("far"), Mode: 0o644}})
	at, err := os.OpenRoot(root)
	for range 25 {
		if err != nil {
			t.Fatal(err)
		}
		above := at
		at, err = at.OpenRoot(strings.Repeat("l", 200))
		above.Close() //nolint:errcheck // a folder
	}
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close() //nolint:errcheck // a folder
	if b, err := at.ReadFile("file"); string(b) != "far" {
		t.Errorf("got %q, %v", b, err)
	}
}

// testMany lists a folder with very many entries, from the beginning and from positions in it.
func testMany(t *testing.T, s *surface) {
	n := 5000
	if s.mounted {
		n = 100_000 // a checkout would take long to make
	}
	tree := fstest.MapFS{}
	for i := range n {
		tree[fmt.Sprintf("many/%06d", i*7)] = &fstest.MapFile{Data: []byte("x"), Mode: 0o644}
	}
	root := filepath.Join(s.tree(t, "many", tree), "many")
	list, err := os.ReadDir(root)
	if err != nil || len(list) != n {
		t.Fatalf("%d entries of %d, %v", len(list), n, err)
	}
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // a folder
	buf := make([]byte, 4096)
	names := func() []string {
		k, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		_, _, names := unix.ParseDirent(buf[:k], -1, nil)
		return names
	}
	var positions []int64
	var first [][]string
	for range 30 {
		at, err := unix.Seek(fd, 0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		positions, first = append(positions, at), append(first, names())
	}
	for _, i := range []int{29, 3, 17, 0} {
		if _, err := unix.Seek(fd, positions[i], io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if got := names(); !slices.Equal(got, first[i]) {
			t.Errorf("at position %d: %.3q, want %.3q", positions[i], got, first[i])
		}
	}
}

func testExec(t *testing.T, s *surface) {
	self, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Skip(err)
	}
	root := s.tree(t, "exec", fstest.MapFS{
		"bin/script": {Data: []byte("#!/bin/sh\necho ran $0\n"), Mode: 0o755}, "bin/true": {Data: self, Mode: 0o755},
		"bin/plain": {Data: self, Mode: 0o644},
	})
	// Go's runtime stands still from fork to exec, and this process may be the one that serves the mount: a shell executes instead.
	start := func(name string) *exec.Cmd { return exec.Command("/bin/sh", "-c", `exec "$0"`, filepath.Join(root, name)) }
	out, err := start("bin/script").CombinedOutput()
	if want := "ran " + root + "/bin/script\n"; string(out) != want {
		t.Errorf("got %q, %v, want %q", out, err, want)
	}
	if out, err := start("bin/true").CombinedOutput(); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	plain := start("bin/plain")
	if err := plain.Run(); err == nil || plain.ProcessState.ExitCode() != 126 { // as a shell says that a file is not executable
		t.Errorf("a file that is not executable: %v", err)
	}
}

func testMmap(t *testing.T, s *surface) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	root := s.tree(t, "mmap", fstest.MapFS{"data": {Data: data, Mode: 0o644}})
	f, err := os.Open(filepath.Join(root, "data"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_POPULATE)
	f.Close() //nolint:errcheck // it was only read
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m) //nolint:errcheck // the test ends
	if !bytes.Equal(m, data) {
		t.Error("the mapping has other bytes")
	}
}

func testReaders(t *testing.T, s *surface) {
	tree := fstest.MapFS{}
	for i := range 40 {
		tree[fmt.Sprint("f", i)] = &fstest.MapFile{Data: bytes.Repeat([]byte{byte(i)}, i*4111), Mode: 0o644}
	}
	root := s.tree(t, "readers", tree)
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			for i := range 200 {
				name := fmt.Sprint("f", (i*7+g)%40)
				b, err := os.ReadFile(filepath.Join(root, name))
				if err != nil || !bytes.Equal(b, tree[name].Data) {
					t.Errorf("%s: %d bytes, %v", name, len(b), err)
					return
				}
			}
		})
	}
	group.Wait()
}

// testRefuses tries every change, on a checkout as a user without rights.
func testRefuses(t *testing.T, s *surface) {
	root := s.tree(t, "refuses", fstest.MapFS{"dir/file": {Data: []byte("x"), Mode: 0o644}, "dir/exec": {Data: []byte("y"), Mode: 0o755}})
	dir := filepath.Join(root, "dir")
	file, other := filepath.Join(dir, "file"), filepath.Join(dir, "other")
	tries := map[string]func() error{
		"write":    func() error { return openTo(file, unix.O_WRONLY) },
		"append":   func() error { return openTo(file, unix.O_WRONLY|unix.O_APPEND) },
		"exec":     func() error { return openTo(filepath.Join(dir, "exec"), unix.O_RDWR) },
		"truncate": func() error { return unix.Truncate(file, 0) },
		"create":   func() error { return openTo(other, unix.O_WRONLY|unix.O_CREAT) },
		"tmpfile":  func() error { return openTo(dir, unix.O_WRONLY|unix.O_TMPFILE) },
		"unlink":   func() error { return unix.Unlink(file) },
		"rename":   func() error { return unix.Rename(file, other) },
		"link":     func() error { return unix.Link(file, other) },
		"symlink":  func() error { return unix.Symlink("x", other) },
		"mkdir":    func() error { return unix.Mkdir(other, 0o755) },
		"rmdir":    func() error { return unix.Rmdir(dir) },
		"chmod":    func() error { return unix.Chmod(file, 0o777) },
		"chown":    func() error { return unix.Chown(file, 1, 1) },
		"utimes":   func() error { return unix.Utimes(file, make([]unix.Timeval, 2)) },
		"setxattr": func() error { return unix.Setxattr(file, "user.x", []byte("1"), 0) },
		"mknod":    func() error { return unix.Mkfifo(other, 0o600) },
	}
	done := make(chan map[string]error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine: its user is another one
		if !s.mounted {
			_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, 65534, 0, 0)
		}
		got := map[string]error{}
		for name, try := range tries {
			got[name] = try()
		}
		done <- got
	}()
	for name, err := range <-done {
		allowed := []error{unix.EROFS}
		if !s.mounted {
			allowed = []error{unix.EACCES, unix.EPERM}
		}
		if !slices.ContainsFunc(allowed, func(want error) bool { return errors.Is(err, want) }) {
			t.Errorf("%s: got %v, want one of %v", name, err, allowed)
		}
	}
	same(t, root, fstest.MapFS{"dir/file": {Data: []byte("x"), Mode: 0o644}, "dir/exec": {Data: []byte("y"), Mode: 0o755}})
}

func openTo(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0o644)
	if err == nil {
		unix.Close(fd) //nolint:errcheck // it should not be open
	}
	return err
}

// testLate shows a package that is bound after the first look, replaced, and then gone.
func testLate(t *testing.T, s *surface) {
	id := castest.Describe(t, s.store, "late")
	if s.mounted {
		for range 2 {
			if _, err := os.Lstat(s.show(t, id)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("before it is bound: %v", err)
			}
			if _, err := os.ReadDir(filepath.Dir(s.show(t, id))); err != nil { // the kernel may keep this listing
				t.Error(err)
			}
		}
	}
	root := s.tree(t, "late", fstest.MapFS{"a": {Data: []byte("1")}})
	same(t, root, fstest.MapFS{"a": {Data: []byte("1")}})
	begun := time.Now()
	eventually(t, "listing it", func() bool {
		list, err := os.ReadDir(filepath.Dir(root))
		return err == nil && slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == id.String() })
	})
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it was listed after %v", took)
	}
	s.gone(t, id)
	if _, err := os.Lstat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after it is gone: %v", err)
	}
	list, err := os.ReadDir(filepath.Dir(root))
	if err != nil || slices.ContainsFunc(list, func(e fs.DirEntry) bool { return e.Name() == id.String() }) {
		t.Errorf("it is still listed, %v", err)
	}
	same(t, s.tree(t, "late", fstest.MapFS{"b": {Data: []byte("2")}}), fstest.MapFS{"b": {Data: []byte("2")}})
	s.gone(t, id)
}

// testRoots shows packages that are one file.
func testRoots(t *testing.T, s *surface) {
	for name, want := range map[string]string{"bin/tool": "-r-xr-xr-x", "share/same": "-r--r--r--"} {
		root, err := s.store.Import(t.Context(), castest.Tree(), &cas.ImportOptions{File: name})
		if err != nil {
			t.Fatal(err)
		}
		id := castest.Describe(t, s.store, "root-"+strings.ReplaceAll(name, "/", "-"))
		if err := s.store.Bind(t.Context(), castest.Attest(1, id, root)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(s.show(t, id))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s: got %v, %v, want %s", name, info, err, want)
		}
	}
}

// testTwins shows one content under two PIDs.
func testTwins(t *testing.T, s *surface) {
	tree := castest.Tree()
	a, b := s.tree(t, "twin1", tree), s.tree(t, "twin2", tree)
	same(t, a, tree)
	same(t, b, tree)
}
