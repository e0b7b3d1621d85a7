package checkout_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount/checkout"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// loopArg makes this program make and remove checkouts of all packages of a store until it is killed.
const loopArg = "make-and-remove"

// onceArg makes it make them once.
const onceArg = "make-once"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && (os.Args[1] == loopArg || os.Args[1] == onceArg) {
		if err := work(os.Args[2], os.Args[3], os.Args[1] == loopArg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func work(store, path string, loop bool) error {
	s, err := cas.Open(store, nil)
	if err != nil {
		return err
	}
	c, err := checkout.Open(&checkout.Options{Store: s, Path: path})
	for err == nil {
		for b, e := range s.Bindings() {
			if e == nil {
				_, e = c.Make(context.Background(), b.PID)
			}
			if e == nil && loop {
				e = c.Gone(b.PID)
			}
			if err = e; err != nil {
				break
			}
		}
		if !loop {
			break
		}
	}
	return errors.Join(err, s.Close())
}

func files() fstest.MapFS {
	tree := fstest.MapFS{}
	for i := range 60 {
		tree[fmt.Sprintf("d%d/e/f%d", i%7, i)] = &fstest.MapFile{Data: fmt.Append(nil, i), Mode: fs.FileMode(0o644 | i%2*0o111)}
	}
	return tree
}

// store makes a store with one package.
func store(t *testing.T, dir string) pir.PID {
	t.Helper()
	s, err := cas.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := castest.Package(t, s, castest.Key(1), "files", files())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return id
}

// whole compares a checkout with files.
func whole(t *testing.T, root string) {
	t.Helper()
	got, want := map[string]string{}, map[string]string{}
	for p, f := range files() {
		want[p] = fmt.Sprint(string(f.Data), fs.FileMode(0o444|f.Mode&0o111))
	}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		got[strings.TrimPrefix(p, root+"/")] = fmt.Sprint(string(b), info.Mode())
		return err
	})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

// TestCrash kills a process while it makes and removes checkouts. The next one leaves nothing half done, and makes whole checkouts.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	id := store(t, filepath.Join(dir, "store"))
	path := filepath.Join(dir, "checkouts")
	left := 0
	for range 12 {
		cmd := exec.Command(os.Args[0], loopArg, filepath.Join(dir, "store"), path)
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(50+rand.IntN(150)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if list, _ := os.ReadDir(filepath.Join(path, ".new")); len(list) > 0 {
			left++
		}
		s := castest.Open(t, filepath.Join(dir, "store"), nil)
		c, err := checkout.Open(&checkout.Options{Store: s, Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if list, err := os.ReadDir(filepath.Join(path, ".new")); err != nil || len(list) > 0 {
			t.Errorf("half done: %v, %v", list, err)
		}
		root, err := c.Make(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		whole(t, root)
		if err := c.Gone(id); err != nil {
			t.Fatal(err)
		}
		if list, _ := os.ReadDir(filepath.Join(path, ".exec")); len(list) > 0 {
			t.Errorf("%d copies of executable files are left", len(list))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if left == 0 {
		t.Error("no process was killed in its work")
	}
}

// TestElsewhere makes checkouts on another file system than the store's, so that neither links nor clones are possible.
func TestElsewhere(t *testing.T) {
	if os.Getuid() != 0 {
		skip.Wall(t, "a file system needs root")
	}
	dir, other := t.TempDir(), t.TempDir()
	if err := syscall.Mount("tmpfs", other, "tmpfs", 0, "size=16m"); err != nil {
		skip.Wall(t, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(other, syscall.MNT_DETACH) })
	id := store(t, filepath.Join(dir, "store"))
	if err := work(filepath.Join(dir, "store"), other, false); err != nil {
		t.Fatal(err)
	}
	whole(t, filepath.Join(other, id.String()))
}

// TestNobody makes checkouts as a user without rights.
func TestNobody(t *testing.T) {
	if os.Getuid() != 0 {
		skip.Wall(t, "another user needs root")
	}
	dir, err := os.MkdirTemp("", "n") //nolint:usetesting // the folder above t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a test
	id := store(t, filepath.Join(dir, "store"))
	program, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "program"), program, 0o755)
	}
	if err == nil {
		err = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(p, 65534, 65534)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "program"), onceArg, filepath.Join(dir, "store"), filepath.Join(dir, "checkouts"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole(t, filepath.Join(dir, "checkouts", id.String()))
}

// folding is a store whose tree has two names that a file system would take for one.
type folding struct{ checkout.Store }

func (folding) CID(pir.PID) (cid.CID, error) { return cid.New(cid.DagPB, [32]byte{1}) }

func (folding) Entries(context.Context, cid.CID) iter.Seq2[cas.Entry, error] {
	return func(yield func(cas.Entry, error) bool) {
		for _, e := range []cas.Entry{{Kind: cas.Dir}, {Path: "Read", Kind: cas.Symlink, Target: "a"}, {Path: "Read", Kind: cas.Symlink, Target: "b"}} {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// TestFolding refuses a tree with two names that are one name on the file system, and leaves nothing.
func TestFolding(t *testing.T) {
	path := t.TempDir()
	c, err := checkout.Open(&checkout.Options{Store: folding{}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Make(t.Context(), pir.PID{1})
	if protocol.CodeOf(err) != protocol.Unsupported || !strings.Contains(err.Error(), "the same name") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{".new", ".made"} {
		if list, err := os.ReadDir(filepath.Join(path, name)); err != nil || len(list) > 0 {
			t.Errorf("left in %s: %v, %v", name, list, err)
		}
	}
}
