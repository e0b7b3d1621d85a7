package pip

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/MordragT/nuka/ecosystem"
)

// TestReal records pip and uv with the index of this machine's own configuration, and replays them in a network name space that holds nothing but the replayer.
// NUKA_LONG=1 runs it: it downloads some 40 MB.
func TestReal(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("set NUKA_LONG=1 to download packages")
	}
	dir := t.TempDir()
	run(t, os.Environ(), "python3", "-m", "venv", filepath.Join(dir, "tools"))
	python := filepath.Join(dir, "tools", "bin", "python")
	index := strings.TrimSpace(run(t, os.Environ(), python, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"))
	if set, err := exec.Command(python, "-m", "pip", "config", "get", "global.index-url").Output(); err == nil && len(set) > 0 {
		index = strings.TrimSpace(string(set))
	}
	run(t, os.Environ(), python, "-m", "pip", "install", "-q", "uv")
	uv := filepath.Join(dir, "tools", "bin", "uv")
	up := []ecosystem.Upstream{{Alias: "pypi", Kind: Kind, URL: strings.TrimRight(index, "/")}}
	project := filepath.Join(dir, "project")
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	toml := "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"requests\", \"numpy\"]\n"
	if err := os.WriteFile(filepath.Join(project, "pyproject.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		door ecosystem.Door
		args func(target string) []string
	}{
		{"pip", ecosystem.DoorRegistry, func(target string) []string {
			return []string{python, "-m", "pip", "install", "-q", "--no-compile", "--target", target, "requests", "numpy", "docopt"}
		}},
		{"uv pip", ecosystem.DoorRegistry, func(target string) []string {
			return []string{uv, "pip", "install", "-q", "--python", python, "--target", target, "requests", "numpy"}
		}},
		{"uv sync", ecosystem.DoorProxy, func(target string) []string {
			return []string{"sh", "-c", fmt.Sprintf("cd %s && UV_PROJECT_ENVIRONMENT=%s UV_LINK_MODE=copy %s sync -q --python %s && rm -rf %s/bin %[2]s/pyvenv.cfg", project, target, uv, python, target)}
		}},
		{"pip proxy", ecosystem.DoorProxy, func(target string) []string {
			return []string{python, "-m", "pip", "install", "-q", "--no-compile", "--target", target, "requests", "six"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { testReal(t, c.door, up, c.args) })
	}
	lock, err := os.ReadFile(filepath.Join(project, "uv.lock"))
	if err != nil || strings.Contains(string(lock), "127.0.0.1") || !strings.Contains(string(lock), up[0].URL) {
		t.Errorf("uv.lock does not name the registry, or names the proxy (%v)", err)
	}
}

func testReal(t *testing.T, door ecosystem.Door, up []ecosystem.Upstream, args func(string) []string) {
	folder, err := ecosystem.NewFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ecosystem.NewRecorder(&ecosystem.Options{Adapter: Adapter{}, Upstreams: up, Files: folder, Door: door, Base: "http://127.0.0.1:3129"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:3129")
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(t.TempDir(), "tree") // both times: scripts have its path in them
	began := time.Now()
	through(t, l, rec, door, "http://127.0.0.1:3129", up, args(target), func() []string { return append(rec.Problems(), rec.LeftOut()...) })
	t.Logf("recorded in %v", time.Since(began))
	r, err := rec.Recording()
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if r, err = ecosystem.Decode(text); err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, f := range r.Files() {
		total += f.Size
	}
	t.Logf("recording: %d answers, %d bytes, %d files of %d bytes; %v", len(r.Answers), len(text), len(r.Files()), total, ecosystem.Changes(nil, r))
	if up := up[0].URL; strings.Contains(string(text), strings.TrimPrefix(up, "https://")) {
		t.Errorf("the recording names the registry %s", up)
	}
	p, err := ecosystem.NewReplayer(r, &ecosystem.ReplayOptions{Adapter: Adapter{}, Open: folder.Open})
	if err != nil {
		t.Fatal(err)
	}
	first := tree(t, target)
	if err := os.RemoveAll(target); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	done := make(chan struct{})
	go func() { // its thread ends with it
		defer close(done)
		runtime.LockOSThread()
		inside, err := lonely()
		if err != nil {
			t.Error(err)
			return
		}
		through(t, inside, p, door, ecosystem.Base, up, args(target), p.Problems)
	}()
	<-done
	t.Logf("replayed in %v", time.Since(began))
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("problems: %s", problems)
	}
	if a, b := first, tree(t, target); !slices.Equal(a, b) || len(a) < 10 {
		t.Errorf("the trees differ: %d and %d files", len(a), len(b))
		for _, line := range a {
			if !slices.Contains(b, line) {
				t.Logf("- %s", line)
			}
		}
		for _, line := range b {
			if !slices.Contains(a, line) {
				t.Logf("+ %s", line)
			}
		}
	}
}

// through runs a client that reaches nothing but h.
func through(t *testing.T, l net.Listener, h ecosystem.Handler, door ecosystem.Door, base string, up []ecosystem.Upstream, args []string, problems func() []string) {
	home := t.TempDir()
	setup := Adapter{}.Setup(door, base, up)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "LANG=C.UTF-8"}
	var handler http.Handler = h
	if door == ecosystem.DoorProxy {
		authority, err := ecosystem.NewAuthority()
		if err != nil {
			t.Error(err)
			return
		}
		ca := filepath.Join(home, "ca.pem")
		if err := os.WriteFile(ca, authority.PEM(), 0o600); err != nil {
			t.Error(err)
			return
		}
		handler = ecosystem.NewProxy(h, authority)
		for name, value := range ecosystem.SetupProxy(base, ca) {
			setup.Env[name] = value
		}
		setup.Env["PIP_CERT"], setup.Env["SSL_CERT_FILE"] = ca, ca
	}
	setup.Env["UV_CACHE_DIR"] = filepath.Join(home, "cache")
	for name, value := range setup.Env {
		env = append(env, name+"="+value)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- ecosystem.Serve(ctx, l, handler) }()
	c := exec.Command(args[0], args[1:]...)
	c.Env = env
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s\n%q", args, err, out, problems())
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// lonely puts the thread into a network name space with the loopback device only, and listens there.
func lonely() (net.Listener, error) {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return nil, errno
	}
	return net.Listen("tcp", strings.TrimPrefix(ecosystem.Base, "http://"))
}

// tree returns a line for each file below a folder.
func tree(t *testing.T, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		lines = append(lines, fmt.Sprintf("%s %x", name, sha256.Sum256(text)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = env
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
