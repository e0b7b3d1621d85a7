package worker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/sandbox"
)

// nativePrograms builds the launcher and the native tool of the scenes once.
var nativePrograms = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nuka-native-")
	if err != nil {
		return "", err
	}
	nativeDir = dir
	for out, pkg := range map[string]string{sandbox.LauncherName: "nuka-sandbox", "tool": "nuka/testdata/tool"} {
		c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, out), "../../cmd/"+pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := c.CombinedOutput(); err != nil {
			return "", errors.New(string(text))
		}
	}
	return dir, os.Chmod(dir, 0o755)
})

// A testRoom is a room whose worker is the test.
type testRoom struct {
	*room
	t     *testing.T
	dir   string
	input string // on this machine
	tasks sync.WaitGroup
	heard chan *ranNative
	ended chan error
}

func (r *testRoom) SendValue(v any) error {
	have := *v.(parentAnswer).Ran
	have.Stdout, have.Stderr = bytes.Clone(have.Stdout), bytes.Clone(have.Stderr) // the sender uses them again
	r.heard <- &have
	return nil
}

func newTestRoom(t *testing.T, user int) *testRoom {
	t.Helper()
	programs, err := nativePrograms()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "nuka-room-") //nolint:usetesting // t.TempDir is only for the user of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	launcher := filepath.Join(programs, sandbox.LauncherName)
	if found := sandbox.Check(t.Context(), launcher)[0]; !found.OK {
		t.Skipf("%s: %s", found.What, found.Detail)
	}
	in := realize.Input{PID: pir.Sum([]byte("input"))}
	in.Path = realize.StorePath + "/" + in.PID.String()
	for _, sub := range []string{"tree/usr/bin", "tree/etc", "shown/" + in.PID.String(), "job/build", "job/out", "job/tmp/home"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool, err := os.ReadFile(filepath.Join(programs, "tool"))
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "tree/usr/bin/tool"), tool, 0o755),
			os.WriteFile(filepath.Join(dir, "shown", in.PID.String(), "file"), []byte("input\n"), 0o644), os.Chmod(dir, 0o755))
	}
	for _, sub := range []string{"build", "out", "tmp", "tmp/home"} {
		if user != 0 {
			err = errors.Join(err, os.Chown(filepath.Join(dir, "job", sub), user, user))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	tree, err := foreign.BuildTree(filepath.Join(dir, "tree"), func(rel string) ([]foreign.Entry, error) {
		if rel == "" {
			return []foreign.Entry{{Name: "usr"}, {Name: "etc"}, {Name: "bin", Link: true, Target: "usr/bin"}}, nil
		}
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	job := filepath.Join(dir, "job")
	r := &testRoom{
		room: makeRoom(launcher, job, roomMounts(tree, filepath.Join(dir, "shown"), job, []realize.Input{in}), 2), t: t, dir: dir, input: in.Path,
		heard: make(chan *ranNative, 1000), ended: make(chan error, 1),
	}
	r.worker, r.end, r.user = r, func(err error) { r.ended <- err }, user
	t.Cleanup(r.tasks.Wait)
	return r
}

// run runs the tool, and returns its output and end.
func (r *testRoom) run(args ...string) (string, *ranNative) {
	return r.ask(&runNative{Args: append([]string{"tool"}, args...), Env: []string{"PATH=/usr/bin"}, Dir: "/nuka/build"})
}

func (r *testRoom) ask(q *runNative) (string, *ranNative) {
	r.t.Helper()
	if q.ID == 0 {
		q.ID = 1
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.take(ctx, &r.tasks, &workerReply{Run: q}); err != nil {
		r.t.Fatal(err)
	}
	return r.wait()
}

func (r *testRoom) wait() (string, *ranNative) {
	var out strings.Builder
	for have := range r.heard {
		out.Write(have.Stdout)
		out.Write(have.Stderr)
		if have.Done {
			return out.String(), have
		}
	}
	return "", nil
}

// TestNativeSees checks what a native program sees of this machine, and what it can change.
func TestNativeSees(t *testing.T) {
	r := newTestRoom(t, 0)
	const about = "host nuka, user 1000, group 1000, umask 022, in /nuka/build, up for less than a minute: true\nterminal: false\n"
	if out, end := r.run("about"); out != about || end.Exit != 0 || end.Error != nil {
		t.Errorf("got %q and %+v, want %q", out, end, about)
	}
	if out, end := r.ask(&runNative{Args: []string{"tool", "env"}, Env: []string{"PATH=/bin", "A=b"}, Dir: "/"}); out != "PATH=/bin\nA=b\n" {
		t.Errorf("environment: got %q, %+v", out, end)
	}
	if out, _ := r.run("look", r.dir, "/etc/shadow", "/root", "/home", "/sys/kernel", "/etc/localtime", "/work"); out != "" {
		t.Errorf("it sees %q", out)
	}
	if out, _ := r.run("cat", r.input+"/file"); out != "input\n" {
		t.Errorf("input: got %q", out)
	}
	for _, at := range []string{r.input + "/file", r.input + "/new", "/usr/bin/tool", "/usr/new", "/etc/passwd", "/new", "/nuka/store/new"} {
		if out, end := r.run("write", at, "x"); end.Exit != 1 {
			t.Errorf("it wrote %s: %s", at, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if out, end := r.run("dial", l.Addr().String()); end.Exit != 1 {
		t.Errorf("it reached this machine: %s", out)
	}
	out, end := r.ask(&runNative{Args: []string{"tool", "cat"}, Env: []string{"PATH=/usr/bin"}, Dir: "/", Input: []byte("in"), Piped: true})
	if out != "in" || end.Exit != 0 {
		t.Errorf("input: got %q, %+v", out, end)
	}
	if out, end := r.run("fail", "7", "why"); out != "why\n" || end.Exit != 7 {
		t.Errorf("got %q, %+v, want exit code 7", out, end)
	}
	if out, end := r.run("signal"); !strings.Contains(out, "ended by signal 9") || end.Exit != 137 {
		t.Errorf("got %q, %+v, want signal 9", out, end)
	}
	if _, end := r.ask(&runNative{Args: []string{"absent"}, Env: []string{"PATH=/usr/bin"}, Dir: "/"}); !end.Missing {
		t.Errorf("a program that is not there: got %+v", end)
	}
}

// TestNothingOutlivesItsProgram checks that a process which a program leaves behind has ended when the program has.
func TestNothingOutlivesItsProgram(t *testing.T) {
	r := newTestRoom(t, 0)
	if out, end := r.run("linger", "/nuka/out/file"); end.Exit != 0 {
		t.Fatalf("got %q, %+v", out, end)
	}
	at := filepath.Join(r.dir, "job/out/file")
	if err := os.WriteFile(at, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // it writes every 5 ms
	if b, err := os.ReadFile(at); string(b) != "kept" {
		t.Errorf("got %q, %v: a process is left", b, err)
	}
}

// TestStopAndCancel checks that both end a program.
func TestStopAndCancel(t *testing.T) {
	r := newTestRoom(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	for _, end := range []func() error{
		func() error { return r.take(ctx, &r.tasks, &workerReply{Stop: 1}) },
		func() error { cancel(); return nil },
	} {
		q := &runNative{ID: 1, Args: []string{"tool", "sleep"}, Env: []string{"PATH=/usr/bin"}, Dir: "/"}
		if err := r.take(ctx, &r.tasks, &workerReply{Run: q}); err != nil {
			t.Fatal(err)
		}
		<-r.heard // it says that it sleeps
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if _, end := r.wait(); end.Error == nil {
			t.Errorf("got %+v, want an error", end)
		}
	}
}

// TestProgramsOfBuildsAreApart checks that two programs share no abstract sockets.
func TestProgramsOfBuildsAreApart(t *testing.T) {
	r := newTestRoom(t, 0)
	for id, what := range []string{"listen", "connect"} {
		q := &runNative{ID: uint64(id) + 1, Args: []string{"tool", "abstract", what}, Env: []string{"PATH=/usr/bin"}, Dir: "/"}
		if err := r.take(t.Context(), &r.tasks, &workerReply{Run: q}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, end := r.wait(); end.ID == 2 && end.Exit == 0 {
			t.Error("one program reached the socket of the other")
		}
	}
}

// TestHostileQuestions asks as a worker would that a program has taken over. What is answered is bounded to the sandbox of the build.
func TestHostileQuestions(t *testing.T) {
	r := newTestRoom(t, 0)
	if err := os.WriteFile(filepath.Join(r.dir, "job/build/file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path := []string{"PATH=/usr/bin"}
	for name, q := range map[string]*runNative{
		"folder above":        {Args: []string{"tool"}, Env: path, Dir: "/nuka/build/../.."},
		"relative folder":     {Args: []string{"tool"}, Env: path, Dir: "build"},
		"folder of the host":  {Args: []string{"tool"}, Env: path, Dir: r.dir},
		"file as folder":      {Args: []string{"tool"}, Env: path, Dir: "/nuka/build/file"},
		"absent folder":       {Args: []string{"tool"}, Env: path, Dir: "/nuka/build/absent"},
		"zero byte in folder": {Args: []string{"tool"}, Env: path, Dir: "/nuka/build\x00"},
		"zero byte":           {Args: []string{"tool", "a\x00b"}, Env: path, Dir: "/"},
		"no name":             {Args: []string{""}, Env: path, Dir: "/"},
		"variable":            {Args: []string{"tool"}, Env: []string{"=x"}, Dir: "/"},
		"zero byte variable":  {Args: []string{"tool"}, Env: []string{"A=\x00"}, Dir: "/"},
		"folder as program":   {Args: []string{"/usr/bin"}, Env: path, Dir: "/"},
		"file as program":     {Args: []string{r.input + "/file"}, Env: path, Dir: "/"},
	} {
		if out, end := r.ask(q); end.Error == nil || out != "" {
			t.Errorf("%s: got %q, %+v, want an error", name, out, end)
		}
	}
	if _, end := r.ask(&runNative{Args: []string{filepath.Join(r.dir, "tree/usr/bin/tool")}, Env: path, Dir: "/"}); !end.Missing {
		t.Errorf("a program of this machine: got %+v", end)
	}

	if err := r.take(t.Context(), &r.tasks, &workerReply{Run: &runNative{ID: 9}}); err == nil {
		t.Error("no arguments: the worker may go on")
	}
	sleep := func(id uint64) *workerReply {
		return &workerReply{Run: &runNative{ID: id, Args: []string{"tool", "sleep"}, Env: path, Dir: "/"}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for id := range uint64(2) {
		if err := r.take(ctx, &r.tasks, sleep(id+1)); err != nil {
			t.Fatal(err)
		}
	}
	for name, q := range map[string]*workerReply{
		"more at once than jobs": sleep(3), "the same number again": sleep(1),
	} {
		if err := r.take(ctx, &r.tasks, q); err == nil {
			t.Errorf("%s: the worker may go on", name)
		}
	}
	var none *room
	if err := none.take(ctx, &r.tasks, sleep(1)); err == nil {
		t.Error("a build without a runtime gets a program run")
	}
}

// TestNativeLimits checks that endless output, large folders and endless processes end.
func TestNativeLimits(t *testing.T) {
	t.Run("output", func(t *testing.T) {
		r := newTestRoom(t, 0)
		r.maxOutput = 1 << 20
		ctx, cancel := context.WithCancel(t.Context())
		r.end = func(err error) { cancel(); r.ended <- err }
		if err := r.take(ctx, &r.tasks, &workerReply{Run: &runNative{ID: 1, Args: []string{"tool", "flood"}, Env: []string{"PATH=/bin"}, Dir: "/"}}); err != nil {
			t.Fatal(err)
		}
		out, _ := r.wait()
		if err := r.exceeded(); err == nil || len(out) > 1<<20 {
			t.Errorf("got %d bytes, %v, want at most 1 MiB and an error", len(out), err)
		}
	})
	t.Run("files", func(t *testing.T) {
		r := newTestRoom(t, 0)
		r.maxFile = 1 << 20
		r.run("sparse", "/nuka/out/sparse")
		if err := r.exceeded(); err == nil {
			t.Error("a file of 100 GB is kept")
		}
	})
	t.Run("processes", func(t *testing.T) {
		r := newTestRoom(t, 0)
		r.spec.Limits.Processes = 64
		out, end := r.run("processes")
		_, after, _ := strings.Cut(out, "after ")
		after, _, _ = strings.Cut(after, ":")
		if n, err := strconv.Atoi(after); end.Exit == 0 || err == nil && n > 64 {
			t.Errorf("got %.200q, %+v, want an end before 64 processes", out, end)
		}
	})
}

// TestNativeUser checks that the programs of a system daemon's build act as the user of its worker, and not as root.
func TestNativeUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs builds as other users")
	}
	const user = 872415999
	r := newTestRoom(t, user)
	if out, end := r.run("write", "/nuka/out/file", "x"); end.Exit != 0 || end.Error != nil {
		t.Fatalf("got %q, %+v", out, end)
	}
	st, err := os.Stat(filepath.Join(r.dir, "job/out/file"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := st.Sys().(*syscall.Stat_t); owner.Uid != user || owner.Gid != user {
		t.Errorf("the file belongs to %d:%d, want %d", owner.Uid, owner.Gid, user)
	}
	if err := os.Chmod(filepath.Join(r.dir, "job/tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "job/tmp/secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, end := r.run("cat", "/tmp/secret"); end.Exit == 0 {
		t.Errorf("it reads a file of root: %q", out)
	}
}
