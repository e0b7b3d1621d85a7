package fsmount_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/internal/skip"
)

// TestMain makes this program a holder if a mount starts it as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == fsmount.HolderArg {
		code, err := fsmount.Hold(os.Args[2])
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
		os.Exit(code)
	}
	if len(os.Args) == 3 && os.Args[1] == serveArg {
		if err := serve(os.Args[2]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == pollArg {
		f, err := os.Open(os.Args[2]) // Go asks whether the file can be waited for
		if err == nil {
			f.Close() //nolint:errcheck // it was only opened
		}
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == faultArg {
		os.Exit(fault(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == listArg {
		os.Exit(list(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == mapArg {
		os.Exit(readMapped(os.Args[2]))
	}
	os.Exit(m.Run())
}

// pollArg makes this program open a file.
const pollArg = "open-a-file"

// A mounted is a store and its mount.
type mounted struct {
	*fsmount.Mount
	store *cas.Store
	path  string
	stop  func()
}

// needMount skips a test where nothing can be mounted. A system without FUSE shows packages as checkouts, so its absence is not a missing wall.
func needMount(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Wall(t, "a mount needs root")
	}
	if _, err := os.Stat(fsmount.Device); err != nil {
		t.Skip(err)
	}
}

// mount mounts a new store until the test ends.
func mount(t *testing.T, change func(*fsmount.Options)) *mounted {
	t.Helper()
	needMount(t)
	dir := t.TempDir()
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	o := &fsmount.Options{
		Store: store, Path: filepath.Join(dir, "mnt"), Run: dir, Slots: filepath.Join(dir, "slots"), Disk: dir, Linger: 20 * time.Second,
		Holder: func(job string) *exec.Cmd { return exec.Command(os.Args[0], fsmount.HolderArg, job) },
		Log:    slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if change != nil {
		change(o)
	}
	m, err := fsmount.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(30 * time.Second):
			panic("the mount does not stop")
		}
	}
	t.Cleanup(func() {
		stop()
		if n := mountCount(t, o.Path); n != 0 {
			t.Errorf("%d mounts are left at %s", n, o.Path)
			_ = unix.Unmount(o.Path, unix.MNT_DETACH)
		}
	})
	wait, end := context.WithTimeout(ctx, 20*time.Second)
	defer end()
	if err := m.Wait(wait); err != nil {
		t.Fatal(err)
	}
	// This process serves itself, and Go's runtime stands still while it asks whether a file can be waited for. So another process asks first:
	// the answer, for which go-fuse has this name, is one that the kernel keeps.
	if err := exec.Command(os.Args[0], pollArg, filepath.Join(o.Path, ".go-fuse-epoll-hack")).Run(); err != nil {
		t.Fatal(err)
	}
	return &mounted{m, store, o.Path, stop}
}

// mountCount returns how many mounts there are at a path.
func mountCount(t *testing.T, path string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), " "+path+" ")
}
