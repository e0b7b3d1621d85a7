package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// A build worker of these tests has been taken over: it attacks.
func init() { testWorkers[Arg] = hostileWorker }

// exits is a program that ends with a code.
func exits(code byte) []byte {
	sect := func(id byte, b ...byte) []byte { return append([]byte{id, byte(len(b))}, b...) }
	imp := append([]byte{1, 22}, "wasi_snapshot_preview1\x09proc_exit\x00\x00"...)
	exp := append([]byte{2, 6}, "memory\x02\x00\x06_start\x00\x01"...)
	return bytes.Join([][]byte{
		[]byte("\x00asm\x01\x00\x00\x00"), sect(1, 2, 0x60, 1, 0x7f, 0, 0x60, 0, 0), sect(2, imp...), sect(3, 1, 1), sect(5, 1, 0, 1),
		sect(7, exp...), sect(10, 1, 6, 0, 0x41, code, 0x10, 0, 0x0b),
	}, nil)
}

// runs runs a module through a cache and returns its exit code.
func runs(t *testing.T, o *wasmrt.Options, code []byte) int {
	t.Helper()
	ctx := context.Background()
	rt, err := wasmrt.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close(ctx)
	m, err := rt.Load(ctx, code)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := rt.Run(ctx, &wasmrt.Program{Module: m, Args: []string{"p"}})
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// hostileWorker is a build worker that was taken over. The first word of its build's PIR selects its attack.
func hostileWorker() error {
	conn, job, err := enter()
	if err != nil || job.Unpack != nil {
		return err
	}
	out := output{conn}
	what, arg, _ := strings.Cut(job.PIR, " ")
	switch what {
	case "plant":
		fmt.Fprint(out, plant(job.MachineCode, filepath.Join(job.Dir, "evil"), filepath.Join(job.Dir, "keep"), filepath.Join(job.Dir, "out")))
	case "read":
		return readPaths(conn, job, strings.Fields(arg))
	case "look":
		return lookAt(conn, strings.Fields(arg))
	case "leave": // ask, report done, and keep running without reading
		if err := leave(conn, arg); err != nil {
			return err
		}
	case "ask", "again":
		for range map[string]int{"ask": 1, "again": 1000}[what] {
			if err := conn.SendValue(workerReply{Want: &wantCode{File: arg, Again: true}}); err != nil {
				return err
			}
			answer, err := conn.Recv()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s", answer)
		}
	}
	if what == "slots" { // ask for slots, or give slots back if the number is negative, and end without a reply
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		for range max(n, -n) {
			if err := conn.SendValue(workerReply{Slots: n / max(n, -n)}); err != nil {
				return err
			}
		}
		if _, err := conn.Recv(); err != nil {
			return err
		}
	}
	return conn.SendValue(workerReply{Done: true})
}

// plant tries to bring the machine code of evil, a folder like a cache, into the entries of cache, and returns the attacks that worked.
// keep is a second folder like evil, and out is a folder to write to.
func plant(cache, evil, keep, out string) string {
	var open []string
	try := func(what string, err error) {
		if err == nil {
			open = append(open, what)
		}
	}
	// cp overwrites a file in place, if it may.
	cp := func(from, to string, flag int) error {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(to, flag, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return errors.Join(err, f.Close())
	}
	files := cacheTree(cache)
	for name := range files {
		from, to := filepath.Join(evil, name), filepath.Join(cache, name)
		try("write "+name, cp(from, to, os.O_WRONLY))
		try("truncate "+name, cp(from, to, os.O_RDWR|os.O_TRUNC))
		try("append "+name, cp(from, to, os.O_WRONLY|os.O_APPEND))
		try("truncate by path "+name, syscall.Truncate(to, 0))
		other := filepath.Join(out, "link-"+filepath.Base(name))
		if err := os.Link(to, other); err == nil { // one file in two folders
			try("write through a link "+name, cp(from, other, os.O_WRONLY))
		}
		if err := os.Symlink(to, other+".s"); err == nil {
			try("write through a symbolic link "+name, cp(from, other+".s", os.O_WRONLY))
		}
		if f, err := os.Open(to); err == nil { // opened for reading, then for writing through /proc
			_ = f.Chmod(0o666)
			try("write after chmod "+name, cp(from, to, os.O_WRONLY))
			try("write through /proc "+name, cp(from, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_WRONLY))
			f.Close()
		}
		try("rename over "+name, os.Rename(from, to))
		try("link over "+name, os.Link(from, to+".2"))
		try("make "+name, cp(from, to+".new", os.O_WRONLY|os.O_CREATE))
		try("remove "+name, os.Remove(to))
		entry, _, _ := strings.Cut(name, "/")
		try("rename the entry "+name, os.Rename(filepath.Join(cache, entry), filepath.Join(out, entry)))
	}
	try("a new entry", os.Mkdir(filepath.Join(cache, "new"), 0o700))
	try("a link as an entry", os.Symlink(evil, filepath.Join(cache, "link")))
	try("rename the cache", os.Rename(cache, cache+".old"))
	try("a link as the cache", errors.Join(os.RemoveAll(cache), os.Symlink(evil, cache)))
	for name := range files { // after all this destruction, write the hostile files if possible
		to := filepath.Join(cache, name)
		try("plant "+name, errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), cp(filepath.Join(keep, name), to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)))
	}
	return "open: " + strings.Join(open, ", ")
}

// cacheTree returns the files below a folder with their content.
func cacheTree(dir string) map[string]string {
	out := map[string]string{}
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			b, _ := os.ReadFile(p)
			out[rel] = string(b)
		}
		return nil
	})
	return out
}

type bench struct {
	b      *Builder
	store  *cas.Store // the builder's
	cache  string
	blobs  string
	inputs []realize.Input // of the next builds
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	store := castest.Open(t, filepath.Join(dir, "store"), nil)
	x := &bench{store: store, cache: filepath.Join(dir, "machine"), blobs: filepath.Join(dir, "store", "blobs")}
	x.b = &Builder{
		Store: store, Blobs: x.blobs, Slots: realize.NewSlots(2), Partial: func() bool { return false },
		Machine: &machine.Cache{Dir: x.cache, Work: dir, Engine: nu.EngineCode, Log: slog.New(slog.DiscardHandler)},
	}
	return x
}

// build runs the hostile worker and returns what it printed.
func (x *bench) build(t *testing.T, dir, what string, local bool) (string, error) {
	t.Helper()
	for _, sub := range []string{"build", "out", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	err := x.b.Build(context.Background(), &realize.Job{PIR: &pir.PIR{}, Canonical: []byte(what), Local: local, Dir: dir, Log: &log, Inputs: x.inputs})
	return log.String(), err
}

// A worker that was taken over cannot bring machine code into the cache by any file operation. So neither the command, which runs
// programs with its user's rights, nor the next worker runs such code.
func TestWorkerPlantsNoMachineCode(t *testing.T) {
	if missing := wasmrt.MissingWalls(); len(missing) > 0 {
		skip.Wall(t, missing)
	}
	x, dir := newBench(t), t.TempDir()
	good, bad := exits(3), exits(4)
	if got := runs(t, &wasmrt.Options{CacheDir: x.cache}, good); got != 3 {
		t.Fatalf("got %d, want 3", got)
	}
	// The hostile entry is complete: machine code of another program under the name and with the checksum of this one.
	evil := filepath.Join(dir, "evil")
	forge(t, evil, x.cache, bad)
	forge(t, filepath.Join(dir, "keep"), x.cache, bad)
	if got := runs(t, &wasmrt.Options{CacheDir: evil}, good); got != 4 {
		t.Fatalf("got %d from the forged cache, want 4, or the test tests nothing", got)
	}
	before := cacheTree(x.cache)
	said, err := x.build(t, dir, "plant", false)
	if err != nil || said != "open: " {
		t.Errorf("got %q, %v", said, err)
	}
	if d := cmp.Diff(before, cacheTree(x.cache)); d != "" {
		t.Errorf("the cache has changed (-before +after)\n%s", d)
	}
	if got := runs(t, &wasmrt.Options{CacheDir: x.cache}, good); got != 3 {
		t.Errorf("the command: got %d, want 3", got)
	}
	if got := runs(t, &wasmrt.Options{CacheDir: x.cache, Scratch: t.TempDir()}, good); got != 3 {
		t.Errorf("the next worker: got %d, want 3", got)
	}
}

// forge makes a folder like the cache whose one entry has the machine code of another program.
func forge(t *testing.T, evil, cache string, code []byte) {
	t.Helper()
	made := t.TempDir()
	runs(t, &wasmrt.Options{CacheDir: made}, code)
	var body, sum string
	for name, content := range cacheTree(made) {
		if filepath.Base(name) == "sum" {
			sum, _, _ = strings.Cut(content, " ")
		} else {
			body = content
		}
	}
	for name := range cacheTree(cache) {
		content := body
		if filepath.Base(name) == "sum" {
			for other := range cacheTree(cache) {
				if other != name {
					rel, _ := filepath.Rel(filepath.Dir(name), other)
					content = sum + " " + rel + "\n"
				}
			}
		}
		to := filepath.Join(evil, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// A worker can have only its own inputs compiled, and only a bounded number of times.
func TestWorkerAsksForMachineCode(t *testing.T) {
	x := newBench(t)
	stranger := filepath.Join(t.TempDir(), "p.wasm")
	if err := os.WriteFile(stranger, exits(3), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := x.build(t, t.TempDir(), "ask "+stranger, true); err == nil || !strings.Contains(err.Error(), "not one of its inputs") {
		t.Errorf("a file that is no input: got %v", err)
	}
	x.b.Machine.Work = filepath.Join(t.TempDir(), "none") // so that it fails at once
	if _, err := x.build(t, t.TempDir(), "again", true); err == nil || !strings.Contains(err.Error(), "again and again") {
		t.Errorf("again and again: got %v", err)
	}
}

// A worker has no more slots than the node gave it, and they are free again when it ends in any way.
func TestWorkerSlots(t *testing.T) {
	x := newBench(t)
	x.b.Slots = realize.NewSlots(2)
	for what, want := range map[string]string{"slots 1": "", "slots 2": "", "slots 100": "the worker asks for 1 slots", "slots -1": "the worker asks for -1 slots"} {
		_, err := x.build(t, t.TempDir(), what, true)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
		if n := len(x.b.Slots); n != 0 {
			t.Errorf("%s: %d slots are not free", what, n)
		}
	}
}

// A compile worker, which runs no program, makes the machine code of a module for two concurrent requests.
func TestCompileWorker(t *testing.T) {
	x := newBench(t)
	file := filepath.Join(t.TempDir(), "p.wasm")
	if err := os.WriteFile(file, exits(3), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- x.b.Machine.Make(context.Background(), file, false, true) }()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	if len(cacheTree(x.cache)) != 2 {
		t.Fatalf("got %v, want an entry and its sum", cacheTree(x.cache))
	}
	scratch := t.TempDir()
	asked := func(context.Context, *wasmrt.Missing) error { t.Error("it was not there"); return nil }
	if got := runs(t, &wasmrt.Options{CacheDir: x.cache, Scratch: scratch, Ask: asked}, exits(3)); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
	if err := os.WriteFile(file, []byte("\x00asm\x01\x00\x00\x00garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.b.Machine.Make(context.Background(), file, false, true); err == nil {
		t.Error("a module that is none: got no error")
	}
}

// If name spaces are not available, the node refuses builds that others described. Builds of the node's own user run, and all
// builds run if the configuration permits it.
func TestBuildsOfOthersNeedWalls(t *testing.T) {
	if os.Getenv("NUKA_TEST_NO_SPACES") == "" {
		c := exec.Command(os.Args[0], "-test.run=^TestBuildsOfOthersNeedWalls$", "-test.v")
		c.Env = append(os.Environ(), "NUKA_TEST_NO_SPACES=1")
		c.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		}
		out, err := c.CombinedOutput()
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) {
			skip.Wall(t, "user name spaces cannot be made here: ", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if missing := wasmrt.MissingWalls(); len(missing) != 1 || !strings.HasPrefix(missing[0], "name spaces: ") {
		t.Fatalf("got %q, want that name spaces are missing", missing)
	}
	x := newBench(t)
	_, err := x.build(t, t.TempDir(), "nothing", false)
	if err == nil {
		t.Fatal("described by others: it was built")
	}
	e := protocol.AsError(err)
	if e.Code != protocol.Denied || !strings.Contains(e.Message, "name spaces") || !strings.Contains(e.Hint, "confine: partial") {
		t.Errorf("described by others: got %v, hint %q", err, e.Hint)
	}
	if _, err := x.build(t, t.TempDir(), "nothing", true); err != nil {
		t.Errorf("described by the user: got %v", err)
	}
	x.b.Partial = func() bool { return true }
	if _, err := x.build(t, t.TempDir(), "nothing", false); err != nil {
		t.Errorf("allowed by the configuration: got %v", err)
	}
}
