package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/sandbox"
)

// ordinary is the user as whom the tests run a second time when root runs them.
const ordinary = 1001

// bin is the folder with the launcher and the probe.
var bin string

// TestMain builds the launcher and the probe. If root runs the tests, they run as root and as an ordinary user.
func TestMain(m *testing.M) {
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzz") }) {
		os.Exit(m.Run()) // fuzz targets start no sandbox
	}
	dir := os.Getenv("NUKA_SANDBOX_BIN")
	if mode := os.Getenv("NUKA_SANDBOX_CALLER"); mode != "" {
		bin = dir
		os.Exit(caller(mode, os.Args[1:]))
	}
	if err := withKey(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if dir != "" {
		bin = dir
		os.Exit(m.Run())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "nuka-sandbox-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		bin = dir
		var flags []string
		if o := os.Getenv("NUKA_SANDBOX_OVERLAY"); o != "" { // a mutation
			flags = []string{"-overlay", o}
		}
		if err := errors.Join(os.Chmod(dir, 0o755), build(filepath.Join(dir, sandbox.LauncherName), "../cmd/nuka-sandbox", flags...), build(filepath.Join(dir, "probe"), "./testdata/probe")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if os.Geteuid() != 0 {
			return code
		}
		fmt.Println("again, as user", ordinary)
		return max(code, again(dir))
	}())
}

// sessionKey is a key of the session keyring of these tests.
const sessionKey = "nuka-test"

// withKey executes this program again with a key in its session keyring: a thread has one, and a new program gets that of the thread that executes it.
func withKey() error {
	const done = "NUKA_SANDBOX_KEYS"
	if os.Getenv(done) == strconv.Itoa(os.Geteuid()) {
		return nil
	}
	runtime.LockOSThread()
	for range 200 {
		_, err1 := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
		_, err2 := unix.AddKey("user", sessionKey, []byte("x"), unix.KEY_SPEC_SESSION_KEYRING)
		if err := errors.Join(err1, err2); !errors.Is(err, unix.EDQUOT) {
			if err != nil {
				return fmt.Errorf("join a session keyring and add a key: %w", err)
			}
			break
		}
		time.Sleep(50 * time.Millisecond) // the kernel still counts the keyrings of sandboxes that have ended
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Setenv(done, strconv.Itoa(os.Geteuid())); err != nil {
		return err
	}
	return syscall.Exec(exe, os.Args, os.Environ())
}

// build builds a static program, as a release is built.
func build(out, pkg string, flags ...string) error {
	c := exec.Command("go", append(append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", out}, flags...), pkg)...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if b, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, b)
	}
	return nil
}

// again runs the tests of this program as an ordinary user.
func again(dir string) int {
	program := filepath.Join(dir, "tests")
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, b, 0o755)
	}
	home := filepath.Join(dir, "home")
	if err == nil {
		err = errors.Join(os.Mkdir(home, 0o755), os.Chown(home, ordinary, ordinary))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { // files of the go command, which are root's
		return strings.HasPrefix(a, "-test.testlogfile") || strings.HasPrefix(a, "-test.gocoverdir") || strings.HasPrefix(a, "-test.coverprofile")
	})
	c := exec.Command(program, args...)
	c.Env = append(os.Environ(), "NUKA_SANDBOX_BIN="+dir, "HOME="+home, "TMPDIR="+home)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	if err := c.Run(); err != nil {
		return 1
	}
	return 0
}

func launcher() string { return filepath.Join(bin, sandbox.LauncherName) }

// needSpaces skips a test where sandboxes cannot be made. In CI it fails the test instead.
func needSpaces(t testing.TB) {
	t.Helper()
	p, err := sandbox.Start(t.Context(), launcher(), &sandbox.Spec{}, nil)
	if err != nil {
		var forbidden *sandbox.ForbiddenError
		if errors.As(err, &forbidden) {
			skip.Wall(t, err)
		}
		t.Fatal(err)
	}
	_, _ = p.Wait()
}

// box returns a Spec whose tree has the probe and little else.
func box(mounts ...sandbox.Mount) *sandbox.Spec {
	return &sandbox.Spec{
		Mounts: append([]sandbox.Mount{
			{Kind: sandbox.RO, Source: bin, Target: "/bin"},
			{Kind: sandbox.Proc, Target: "/proc"},
			{Kind: sandbox.Dev, Target: "/dev"},
			{Kind: sandbox.Tmpfs, Target: "/tmp", Mode: 0o1777},
		}, mounts...),
		Env: []string{"PATH=/bin"},
	}
}

// A result is what a program in a sandbox did.
type result struct {
	sandbox.Status
	out, err string
}

// run runs a program with its output read to the end.
func run(t testing.TB, ctx context.Context, spec *sandbox.Spec, opt sandbox.Options) (result, error) {
	t.Helper()
	var outs [2]bytes.Buffer
	var ends [2]*os.File
	done := make(chan error, 2)
	for i := range outs {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ends[i] = w
		go func() {
			_, err := io.Copy(&outs[i], r)
			done <- err
		}()
	}
	opt.Stdout, opt.Stderr = ends[0], ends[1]
	st, err := sandbox.Run(ctx, launcher(), spec, &opt)
	for _, w := range ends {
		w.Close()
	}
	for range outs {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	return result{st, outs[0].String(), outs[1].String()}, err
}

// mustRun runs a program that must be started.
func mustRun(t testing.TB, spec *sandbox.Spec, argv ...string) result {
	t.Helper()
	spec.Argv = argv
	r, err := run(t, t.Context(), spec, sandbox.Options{})
	if err != nil {
		t.Fatalf("%v: %v", argv, err)
	}
	return r
}

func hostRO(paths ...string) (out []sandbox.Mount) {
	for _, p := range paths {
		out = append(out, sandbox.Mount{Kind: sandbox.RO, Source: p, Target: p})
	}
	return out
}

func link(target, text string) sandbox.Mount {
	return sandbox.Mount{Kind: sandbox.Symlink, Target: target, Source: text}
}
