package fsmount_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/pir"
)

// crowded is a store with many more packages, which all have the content of one.
type crowded struct {
	*cas.Store
	many int
	like pir.PID
}

func (s *crowded) Bindings() iter.Seq2[cas.Binding, error] {
	return func(yield func(cas.Binding, error) bool) {
		b := cas.Binding{}
		var err error
		if b.CID, err = s.Store.CID(s.like); err != nil {
			yield(b, err)
			return
		}
		for i := range s.many {
			binary.BigEndian.PutUint32(b.PID[:], uint32(i+1))
			if !yield(b, nil) {
				return
			}
		}
	}
}

// TestCrowd lists 100,000 packages: the first time each gets a number, later ones have it.
func TestCrowd(t *testing.T) {
	s := &crowded{many: 100_000}
	m := mount(t, func(o *fsmount.Options) {
		s.Store = o.Store.(*cas.Store)
		s.like, _ = castest.Package(t, s.Store, castest.Key(1), "one", castest.Tree())
		o.Store = s
	})
	for _, most := range []time.Duration{20 * time.Second, 5 * time.Second} {
		begun := time.Now()
		out, err := exec.Command("/bin/ls", "-U", m.path).Output() // another process: see mount
		took := time.Since(begun)
		if n := strings.Count(string(out), "\n"); err != nil || n != s.many {
			t.Fatalf("%d packages, %v", n, err)
		}
		t.Logf("%d packages in %v", s.many, took)
		if took > most {
			t.Errorf("the listing took %v, want at most %v", took, most)
		}
	}
}

// TestGuestOfNobody has a user without rights serve a store and run a command that sees it, in a user name space.
func TestGuestOfNobody(t *testing.T) {
	if os.Getuid() != 0 {
		skip.Wall(t, "another user needs root")
	}
	dir, err := os.MkdirTemp("", "n") //nolint:usetesting // the folder above t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a test
	store, err := cas.Open(filepath.Join(dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := castest.Package(t, store, castest.Key(1), "one", castest.Tree())
	program, err := os.ReadFile(os.Args[0])
	device, guest := filepath.Join(dir, "fuse"), filepath.Join(dir, "guest")
	err = errors.Join(err, store.Close(), os.WriteFile(filepath.Join(dir, "program"), program, 0o755), os.Mkdir(guest, 0o755),
		unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))), os.Chmod(device, 0o666)) // as distributions have it
	if err == nil {
		err = filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(p, 65534, 65534)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	as := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, "program"), args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return cmd
	}
	job, err := json.Marshal(&serveJob{Dir: dir, Linger: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	daemon := as(serveArg, string(job)) // it has no mount of its own
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	defer killed(t, daemon)
	eventually(t, "the daemon's socket", func() bool { _, err := os.Stat(filepath.Join(dir, "mount.sock")); return err == nil })
	text, err := json.Marshal(fsmount.HolderJob{Run: dir, Path: guest, Device: device, Exec: []string{"/bin/sh", "-c", `cat "$0/share/big" | wc -c`, filepath.Join(guest, id.String())}})
	if err != nil {
		t.Fatal(err)
	}
	// The name space begins in a program of the user, as for a user who is logged in.
	cmd := as()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		skip.Wall(t, err)
	}
	cmd.Path, cmd.Args = unshare, []string{"unshare", "-Urm", filepath.Join(dir, "program"), fsmount.HolderArg, string(text)}
	out, err := cmd.CombinedOutput()
	if want := len(castest.Tree()["share/big"].Data); err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(want) {
		t.Errorf("got %q, %v; want %d", out, err, want)
	}
}
