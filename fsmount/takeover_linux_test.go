package fsmount_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// serveArg makes this program serve the mount of a store, as a daemon does.
const serveArg = "serve-a-mount"

// A serveJob says what such a process serves.
type serveJob struct {
	Dir           string
	NoPassthrough bool
	Linger        time.Duration
	Touch         bool // a thread of the process waits for an answer of its own mount, which never comes
	Slow          bool // fetches are those of slowFetch
	SlowTrees     bool // the store is a slowStore
}

func (j *serveJob) mount() string { return filepath.Join(j.Dir, "mnt") }

func serve(text string) error {
	var j serveJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
	if err != nil {
		return err
	}
	o := &fsmount.Options{
		Store: store, Path: j.mount(), Run: j.Dir, Slots: filepath.Join(j.Dir, "slots"), Disk: j.Dir, Linger: j.Linger, NoPassthrough: j.NoPassthrough,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if j.SlowTrees {
		o.Store = &slowStore{store, &j}
	}
	if j.Touch {
		o.Realize = func(ctx context.Context, _ pir.PID) error { <-ctx.Done(); return cas.ErrNotFound }
	}
	if j.Slow {
		o.Fetch = func(ctx context.Context, _ pir.PID, _ cid.CID) error { return j.slowFetch(ctx, store) }
	}
	m, err := fsmount.New(o)
	if err != nil {
		return err
	}
	if j.Touch {
		go func() {
			if m.Wait(ctx) == nil {
				_, _ = os.Lstat(filepath.Join(j.mount(), pir.PID{7}.String()))
			}
		}()
	}
	return errors.Join(m.Run(ctx), store.Close())
}

// start starts a process that serves.
func (j *serveJob) start(t testing.TB) *exec.Cmd {
	t.Helper()
	return j.startAs(t, os.Args[0])
}

func (j *serveJob) startAs(t testing.TB, program string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, serveArg, string(text))
	cmd.Stderr = t.Output()
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// await waits until the mount answers.
func (j *serveJob) await(t testing.TB, id pir.PID) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Lstat(filepath.Join(j.mount(), id.String())); err == nil {
			return
		}
	}
	t.Fatal("the mount does not come")
}

func killed(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
}

// stopped tells a process to stop, and waits for its end.
func stopped(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// newJob makes a store with one package and the job to serve it.
func newJob(t testing.TB, noPassthrough bool) (*serveJob, pir.PID, fstest.MapFS) {
	t.Helper()
	needMount(t)
	j := &serveJob{Dir: t.TempDir(), NoPassthrough: noPassthrough, Linger: 20 * time.Second}
	store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := servedTree()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := castest.Package(t, store, castest.Key(1), "served", tree)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Unmount(j.mount(), unix.MNT_DETACH)
		// The holder changes the folder as it ends.
		for begun := time.Now(); holderOf(t, j.Dir) != 0 && time.Since(begun) < 30*time.Second; time.Sleep(10 * time.Millisecond) {
		}
	})
	return j, id, tree
}

// servedTree is what the package of a job contains.
func servedTree() (fstest.MapFS, error) {
	program, err := os.ReadFile("/bin/true")
	tree := fstest.MapFS{"bin/true": {Data: program, Mode: 0o755}, "big": {Data: pattern(8 << 20), Mode: 0o644}}
	for i := range 50 {
		tree[fmt.Sprint("small/", i)] = &fstest.MapFile{Data: pattern(i * 997), Mode: 0o644}
	}
	return tree, err
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// TestKill kills the process that serves a mount again and again while programs read, map, list and execute files. None gets an error, the holder
// stays the same, and there is one mount. With passthrough, reading open files never waits for another daemon.
func TestKill(t *testing.T) {
	for _, noPassthrough := range []bool{false, true} {
		t.Run(fmt.Sprintf("passthrough=%v", !noPassthrough), func(t *testing.T) { kills(t, noPassthrough, os.Args[0]) })
	}
}

// TestUpgrade replaces the process by one of another build, and back, as TestKill does: half of them are killed, the others are told to stop.
func TestUpgrade(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip(err)
	}
	needMount(t)
	other := filepath.Join(t.TempDir(), "other")
	if out, err := exec.Command(tool, "test", "-c", "-ldflags=-buildid=another", "-o", other, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ids := map[string]bool{}
	for _, program := range []string{os.Args[0], other} {
		id, err := exec.Command(tool, "tool", "buildid", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		ids[string(id)] = true
	}
	if len(ids) != 2 {
		t.Fatal("both builds have the same build id")
	}
	kills(t, false, os.Args[0], other)
}

// kills runs programs in turn.
func kills(t *testing.T, noPassthrough bool, programs ...string) {
	rounds := 5
	if os.Getenv("NUKA_LONG") != "" {
		rounds = 100
	}
	j, id, tree := newJob(t, noPassthrough)
	cmd := j.start(t)
	j.await(t, id)
	root := filepath.Join(j.mount(), id.String())

	var stop atomic.Bool
	var works sync.WaitGroup
	var done [5]atomic.Int64 // of each kind
	var slowest atomic.Int64 // nanoseconds of a read of an open file
	work := func(kind int, fn func() error) {
		works.Go(func() {
			for !stop.Load() {
				begun := time.Now()
				if err := fn(); err != nil {
					t.Errorf("program %d: %v", kind, err)
					return
				}
				if took := int64(time.Since(begun)); kind == 0 && took > slowest.Load() {
					slowest.Store(took)
				}
				done[kind].Add(1)
			}
		})
	}
	big := tree["big"].Data
	for range 4 {
		f, err := os.Open(filepath.Join(root, "big"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		work(0, func() error {
			at, b := rand.IntN(len(big)-5000), make([]byte, 5000)
			if _, err := f.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, big[at:at+5000]) {
				return fmt.Errorf("open file: %w", errors.Join(err, errors.New("or wrong bytes")))
			}
			_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
			time.Sleep(time.Millisecond)
			return nil
		})
		work(1, func() error {
			name := fmt.Sprint("small/", rand.IntN(50))
			if rand.IntN(50) == 0 {
				name = "big" // it is open already, also since an earlier daemon
			}
			b, err := os.ReadFile(filepath.Join(root, name))
			if err == nil && !bytes.Equal(b, tree[name].Data) {
				err = errors.New("wrong bytes")
			}
			return err
		})
	}
	// Through a shell: Go starts one process at a time, and an exec that waits for a daemon would keep the daemon from being started.
	work(2, func() error { return exec.Command("/bin/sh", "-c", `exec "$0"`, filepath.Join(root, "bin/true")).Run() })
	work(3, func() error {
		var other pir.PID
		other[0] = byte(rand.IntN(256))
		if _, err := os.Lstat(filepath.Join(j.mount(), other.String())); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look-up: %w", err)
		}
		return nil
	})
	work(4, func() error {
		list, err := os.ReadDir(j.mount())
		if err == nil && len(list) != 1 {
			err = fmt.Errorf("%d packages", len(list))
		}
		return err
	})
	mapped := startMapped(t, filepath.Join(root, "big"))
	holder := holderOf(t, j.Dir)
	for i := range rounds {
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		if len(programs) > 1 && i%2 == 0 {
			stopped(t, cmd)
		} else {
			killed(t, cmd)
		}
		if !noPassthrough { // nobody serves, and reading goes on
			before := done[0].Load()
			for begun := time.Now(); done[0].Load() < before+20; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 10*time.Second {
					t.Fatal("readers of open files wait for a daemon")
				}
			}
		}
		cmd = j.startAs(t, programs[(i+1)%len(programs)])
		before := [5]int64{}
		for k := range before {
			before[k] = done[k].Load()
		}
		for k := range before {
			for begun := time.Now(); done[k].Load() < before[k]+3; time.Sleep(time.Millisecond) {
				if time.Since(begun) > 30*time.Second || t.Failed() {
					t.Fatalf("program %d does not go on", k)
				}
			}
		}
		if n := mountCount(t, j.mount()); n != 1 {
			t.Fatalf("%d mounts", n)
		}
	}
	if now := holderOf(t, j.Dir); now != holder {
		t.Errorf("another holder: %d, was %d", now, holder)
	}
	stop.Store(true)
	works.Wait()
	mapped(t)
	t.Logf("%d rounds; operations of each program %v; slowest read of an open file %v", rounds, []int64{done[0].Load(), done[1].Load(), done[2].Load(), done[3].Load(), done[4].Load()}, time.Duration(slowest.Load()))
	killed(t, cmd)
}

// holderOf returns the process that holds the mount of a folder.
func holderOf(t testing.TB, dir string) int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		b, _ := os.ReadFile(name)
		if bytes.Contains(b, []byte("\x00"+fsmount.HolderArg+"\x00")) && bytes.Contains(b, []byte(`"`+dir+`"`)) {
			pid, err := strconv.Atoi(strings.Split(name, "/")[2])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	return 0
}
