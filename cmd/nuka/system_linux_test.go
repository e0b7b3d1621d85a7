package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/MordragT/nuka/internal/skip"
	"github.com/MordragT/nuka/protocol"
)

// These users of the test need no account: the system daemon knows users by their numbers.
const ann, bob = 21001, 21002

// A machine is a system daemon below a folder, with users.
type machine struct {
	t      *testing.T
	root   string
	daemon *exec.Cmd
	log    bytes.Buffer
}

// newMachine starts a system daemon and returns when it answers.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		skip.Wall(t, "only root can start a system daemon")
	}
	root, err := os.MkdirTemp("", "s") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, filepath.Dir(programs), programs} { // users reach it, and the programs
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{t: t, root: root}
	m.start()
	t.Cleanup(func() {
		m.stop()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", m.log.String())
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *machine) start() {
	m.daemon = exec.Command(filepath.Join(programs, "nukad"), "system", "--foreground")
	m.daemon.Env = append(os.Environ(), "NUKA_HOME=", "NUKA_SYSTEM="+m.root)
	m.daemon.Stderr = &m.log
	if err := m.daemon.Start(); err != nil {
		m.t.Fatal(err)
	}
	for range 300 {
		if _, err := os.Stat(filepath.Join(m.root, "nuka/run/control.sock")); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.t.Fatal("the system daemon does not start")
}

func (m *machine) stop() {
	if m.daemon.ProcessState == nil {
		_ = m.daemon.Process.Signal(os.Interrupt)
		_ = m.daemon.Wait()
	}
}

// home returns the home folder of a user, and makes it.
func (m *machine) home(user uint32) string {
	m.t.Helper()
	home := filepath.Join(m.root, fmt.Sprintf("home-%d", user))
	if err := errors.Join(os.MkdirAll(home, 0o700), os.Chown(home, int(user), int(user))); err != nil {
		m.t.Fatal(err)
	}
	return home
}

// as runs nuka as a user and returns what it writes and its exit code.
func (m *machine) as(user uint32, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	return m.command(user, filepath.Join(programs, "nuka"), args...)
}

// command is as for any program.
func (m *machine) command(user uint32, program string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	c := exec.Command(program, args...)
	c.Dir = m.home(user)
	c.Env = []string{"HOME=" + c.Dir, "NUKA_SYSTEM=" + m.root, "PATH=" + programs + ":" + os.Getenv("PATH"), "TERM=dumb"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	var out, diag bytes.Buffer
	c.Stdout, c.Stderr = &out, &diag
	err := c.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		m.t.Fatal(err)
	}
	return out.String(), diag.String(), c.ProcessState.ExitCode()
}

// works is as for a call that has to succeed.
func (m *machine) works(user uint32, args ...string) string {
	m.t.Helper()
	out, diag, code := m.as(user, args...)
	if code != 0 {
		m.t.Fatalf("user %d: nuka %s: exit code %d\n%s", user, strings.Join(args, " "), code, diag)
	}
	return strings.TrimSpace(out)
}

// tool writes a package file that fetches the tool and builds a package of it, and returns its path. Every user may read it.
func (m *machine) tool(server *httptest.Server, name, build string) string {
	m.t.Helper()
	text := fmt.Sprintf(`export def main [] {
  derivation {
    name: %s, version: "1"
    src: (fetch url %s/tool.wasm --unpack file --hash sha256-%x)
    build: {|b| mkdir $"($b.out)/bin"; cp /nuka/src $"($b.out)/bin/tool"; %s }
  }
}
`, name, server.URL, sha256.Sum256(toolWasm), build)
	path := filepath.Join(m.root, name+".nu")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// TestSystem checks that the users of one system daemon share packages and nothing else.
func TestSystem(t *testing.T) {
	m := newMachine(t)
	server := serve(t, t.TempDir())
	tool := m.tool(server, "tool", `"built" | save $"($b.out)/how"`)
	if got := m.works(ann, "run", tool, "--", "echo", "hello"); got != "hello" {
		t.Errorf("ann's program wrote %q", got)
	}
	if out, diag, code := m.as(bob, "run", tool, "--", "echo", "hello"); code != 0 || out != "hello\n" || strings.Contains(diag, "build") {
		t.Errorf("bob's program: exit code %d, %q, %q; want what ann has built", code, out, diag)
	}

	// What concerns the machine is the administrator's.
	for _, args := range [][]string{
		{"daemon", "stop"}, {"share", tool}, {"key", "rotate", "--yes"}, {"mesh", "create", "m"}, {"daemon", "ticket"}, {"store", "verify"},
	} {
		if _, diag, code := m.as(bob, args...); code != 4 || !strings.Contains(diag, "hint: ") {
			t.Errorf("bob: nuka %s: exit code %d, %q; want 4 and a hint", strings.Join(args, " "), code, diag)
		}
	}
	if got := m.works(0, "status"); !strings.Contains(got, "home") {
		t.Errorf("the administrator's status: %q", got)
	}

	// A user's trust is that user's alone.
	signer := protocol.KeyOf(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))).String()
	m.works(ann, "trust", "add", signer, "--names", "*", "--yes")
	for user, want := range map[uint32]bool{ann: true, bob: false, 0: false} {
		if got := m.works(user, "trust", "list"); strings.Contains(got, signer) != want {
			t.Errorf("user %d trusts: %q", user, got)
		}
	}

	// Users reach what programs read, and none of the daemon's own files.
	for path, want := range map[string]bool{
		"nuka/var/store/blobs": true, "nuka/var/keys": false, "nuka/var/store/index": false, "nuka/var/users": false, "nuka/var/store/meta": false,
	} {
		c := exec.Command("ls", filepath.Join(m.root, path))
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: bob, Gid: bob}}
		if err := c.Run(); (err == nil) != want {
			t.Errorf("bob lists %s: %v", path, err)
		}
	}
}

// TestSystemProfiles checks that two users of one system daemon install programs, each for themselves, and that programs and files of
// packages are reached through the one mount.
func TestSystemProfiles(t *testing.T) {
	m := newMachine(t)
	tool := m.tool(serve(t, t.TempDir()), "tool", `"built" | save $"($b.out)/how"`)
	m.works(ann, "install", tool)
	launcher := filepath.Join(m.home(ann), ".local/share/nuka/profiles/default/current/bin/tool")
	if out, diag, code := m.command(ann, launcher, "echo", "hello"); code != 0 || out != "hello\n" {
		t.Errorf("the launcher: exit code %d, %q, %q", code, out, diag)
	}
	if got := m.works(bob, "list"); got != "" {
		t.Errorf("bob has installed %q", got)
	}
	if got := m.works(bob, "root", "list"); got != "" {
		t.Errorf("bob sees the roots %q", got)
	}
	m.works(bob, "install", tool)
	m.works(ann, "remove", "tool")
	if got := m.works(ann, "list"); got != "" {
		t.Errorf("ann has still installed %q", got)
	}
	launcher = filepath.Join(m.home(bob), ".local/share/nuka/profiles/default/current/bin/tool")
	if out, diag, code := m.command(bob, launcher, "echo", "hello"); code != 0 || out != "hello\n" {
		t.Errorf("bob's launcher: exit code %d, %q, %q", code, out, diag)
	}
	m.works(ann, "rollback")
	if got := m.works(ann, "list"); !strings.Contains(got, "tool") {
		t.Errorf("after rollback ann has installed %q", got)
	}
	if _, diag, code := m.as(bob, "gc"); code != 4 || !strings.Contains(diag, "hint: ") {
		t.Errorf("bob's collection: exit code %d, %q; want 4 and a hint", code, diag)
	}
	m.works(0, "gc")
	if got := m.works(bob, "run", tool, "--", "echo", "kept"); got != "kept" {
		t.Errorf("after the administrator's collection: %q", got)
	}

	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("without FUSE there is no mount: ", err)
	}
	pid := m.works(bob, "eval", tool)
	how := filepath.Join(m.root, "nuka/store", pid, "how")
	if out, diag, code := m.command(bob, "cat", how); code != 0 || out != "built" {
		t.Errorf("a file of the package: exit code %d, %q, %q", code, out, diag)
	}
	if _, _, code := m.command(bob, "sh", "-c", "echo changed > "+how); code == 0 {
		t.Error("bob changed a file of the package")
	}
}

// TestSystemCollect checks that collection is the administrator's, and that it keeps the roots of every user, of which others see no names.
func TestSystemCollect(t *testing.T) {
	m := newMachine(t)
	server := serve(t, t.TempDir())
	kept, _, _ := strings.Cut(m.works(ann, "build", m.tool(server, "kept", `"kept" | save $"($b.out)/how"`)), " ")
	loose, _, _ := strings.Cut(m.works(bob, "build", m.tool(server, "loose", `"loose" | save $"($b.out)/how"`)), " ")
	m.works(ann, "root", "add", "mine", kept)
	for _, args := range [][]string{{"gc"}, {"gc", "--dry-run"}, {"gc", "--generations", "1"}} {
		if _, diag, code := m.as(ann, args...); code != 4 || !strings.Contains(diag, "hint: ask the machine's administrator") {
			t.Errorf("ann: nuka %s: exit code %d, %q; want 4 and a hint", strings.Join(args, " "), code, diag)
		}
	}
	for user, want := range map[uint32]string{ann: "root user/mine", bob: "in use by the machine or another user", 0: "root users/21001/user/mine"} {
		if got := m.works(user, "why", kept); got != want {
			t.Errorf("user %d: why: got %q, want %q", user, got, want)
		}
		if got := m.works(user, "why", loose); got != "" {
			t.Errorf("user %d: why of a package that nothing keeps: got %q", user, got)
		}
		if got := m.works(user, "size", kept); !strings.Contains(got, "iB") {
			t.Errorf("user %d: size: got %q", user, got)
		}
	}
	m.works(0, "gc")
	if got := m.works(ann, "cat", kept, "how"); got != "kept" {
		t.Errorf("ann's package: got %q", got)
	}
	if _, _, code := m.as(bob, "ls", loose); code != 3 {
		t.Errorf("a package without root: exit code %d, want 3", code)
	}
	m.works(ann, "root", "remove", "mine")
	m.works(0, "gc")
	if _, _, code := m.as(ann, "ls", kept); code != 3 {
		t.Errorf("after its root was removed: exit code %d, want 3", code)
	}
}

// TestSystemBuildUser checks that a build runs as a user of its own, whose number is beyond those of accounts.
func TestSystemBuildUser(t *testing.T) {
	m := newMachine(t)
	slow := m.tool(serve(t, t.TempDir()), "slow", "1..20000 | each {|n| $n } | save $\"($b.out)/numbers\"")
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.works(ann, "build", slow)
	}()
	seen := map[uint32]bool{}
	for running := true; running; {
		for user := range workers(t, m.daemon.Process.Pid) {
			seen[user] = true
		}
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	high := 0
	for user := range seen {
		if user >= 872415232 {
			high++
		}
	}
	if high == 0 || seen[ann] {
		t.Errorf("workers ran as %v, want users from 872415232 on", seen)
	}
	list, err := filepath.Glob(filepath.Join(m.root, "nuka/var/store/blobs/*/*"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%d blobs, %v", len(list), err)
	}
	for _, name := range list {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 0 {
			t.Errorf("%s belongs to user %d, who ran a build", name, st.Uid)
		}
	}
}

// workers returns the users of a process's children.
func workers(t *testing.T, parent int) map[uint32]bool {
	users := map[uint32]bool{}
	list, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range list {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if info, err := os.Stat(filepath.Dir(name)); err == nil {
			users[info.Sys().(*syscall.Stat_t).Uid] = true
		}
	}
	return users
}
