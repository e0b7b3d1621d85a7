package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/MordragT/nuka/sandbox"

	_ "github.com/MordragT/nuka/node" // the code of nukad: a change in it makes a cached test result stale
)

var update = flag.Bool("update", false, "rewrite what the scenes of testdata/script want to see")

// The scenes use the real programs and a server on loopback that offers the files that packages fetch.
var (
	programs   string // folder of nuka, nukad and nuka-sandbox
	toolWasm   []byte
	toolNative []byte // the same program for this machine, a foreign program for nuka
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "nuka-scenes-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := buildPrograms(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func buildPrograms(dir string) (err error) {
	programs = filepath.Join(dir, "bin")
	for _, name := range []string{"code", "machine"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	gobuild := func(env []string, args ...string) error {
		c := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false"}, args...)...)
		c.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %v\n%s", err, out)
		}
		return nil
	}
	if err := gobuild(nil, "-o", programs+"/", ".", "../nukad", "../nuka-sandbox"); err != nil {
		return err
	}
	wasm := filepath.Join(dir, "tool.wasm")
	if err := gobuild([]string{"GOOS=wasip1", "GOARCH=wasm"}, "-o", wasm, "./testdata/tool"); err != nil {
		return err
	}
	if toolWasm, err = os.ReadFile(wasm); err != nil {
		return err
	}
	native := filepath.Join(dir, "tool.native")
	if err := gobuild(nil, "-o", native, "./testdata/tool"); err != nil {
		return err
	}
	toolNative, err = os.ReadFile(native)
	return err
}

// serve offers the files that packages fetch (the tool, archives of two kinds) and responses that no server should send.
// Below /git/ are the repositories of a folder.
func serve(t *testing.T, repositories string) *httptest.Server {
	git := serveGit(t, repositories)
	archive := func(names ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			body := "text of " + name + "\n"
			h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}
			if strings.HasSuffix(name, ".fifo") {
				h, body = &tar.Header{Name: name, Typeflag: tar.TypeFifo}, ""
			}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	mine := archive("mine-1.0/a.txt")
	files := map[string][]byte{
		// A Python index with a package, and one that promises another file than it has.
		"/index/mine/":                fmt.Appendf(nil, "<html><a href='mine-1.0.tar.gz#sha256=%x'>mine-1.0.tar.gz</a></html>", sha256.Sum256(mine)),
		"/index/mine/mine-1.0.tar.gz": mine,
		"/index/bent/":                fmt.Appendf(nil, "<html><a href='bent-1.0.tar.gz#sha256=%x'>bent-1.0.tar.gz</a></html>", sha256.Sum256([]byte("another"))),
		"/index/bent/bent-1.0.tar.gz": mine,
		"/holes/mine/":                fmt.Appendf(nil, "<html><a href='mine-1.0.tar.gz#sha256=%x'>mine-1.0.tar.gz</a></html>", sha256.Sum256(mine)), // the file is gone
		// One with a version that was released just now.
		"/index/young/":                 youngIndex(mine),
		"/index/young/young-1.0.tar.gz": mine,
		"/index/young/young-2.0.tar.gz": mine,
		"/tool.wasm":                    toolWasm,
		"/tool.native":                  toolNative,
		"/source.tar":                   archive("source-1/a.txt", "source-1/sub/b.txt"),
		"/escape.tar":                   archive("../escape.txt"),
		"/nothing.tar":                  []byte("this is no archive"),
		"/plain.txt":                    []byte("plain text\n"),
		"/captive.html":                 []byte("<html>please log in</html>"),
		// A Python index that requires a password.
		"/private/mine/":                []byte(`<a href='mine-1.0.tar'>mine-1.0.tar</a>`),
		"/private/kept/":                fmt.Appendf(nil, "<html><a href='kept-1.0.tar.gz#sha256=%x'>kept-1.0.tar.gz</a></html>", sha256.Sum256(mine)),
		"/private/kept/kept-1.0.tar.gz": mine,
		"/private/mine/mine-1.0.tar":    archive("mine-1.0/a.txt", "mine-1.0/pipe.fifo"),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/git/") {
			git.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/files/") {
			http.StripPrefix("/files", http.FileServer(http.Dir(repositories))).ServeHTTP(w, r)
			return
		}
		b, ok := files[r.URL.Path]
		if user, password, _ := r.BasicAuth(); strings.HasPrefix(r.URL.Path, "/private/") && (user != "me" || password != "s3cret") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		if bytes.HasPrefix(b, []byte("{")) {
			w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		}
		w.Write(b)
	}))
	t.Cleanup(s.Close)
	return s
}

// youngIndex is a Python index of two versions (PEP 691 and 700): one is old, and one was released an hour ago.
func youngIndex(file []byte) []byte {
	one := func(version string, released time.Time) string {
		name := "young-" + version + ".tar.gz"
		return fmt.Sprintf(`{"filename": %q, "url": %q, "size": %d, "hashes": {"sha256": "%x"}, "upload-time": %q}`, name, name, len(file), sha256.Sum256(file), released.UTC().Format(time.RFC3339))
	}
	now := time.Now()
	return fmt.Appendf(nil, `{"meta": {"api-version": "1.1"}, "name": "young", "versions": ["1.0", "2.0"], "files": [%s, %s]}`, one("1.0", now.AddDate(-1, 0, 0)), one("2.0", now.Add(-time.Hour)))
}

func TestScript(t *testing.T) {
	repositories := t.TempDir()
	server := serve(t, repositories)
	sum, native := sha256.Sum256(toolWasm), sha256.Sum256(toolNative)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			home, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
			if err != nil {
				return err
			}
			port, err := freePort()
			if err != nil {
				return err
			}
			set := map[string]string{
				"PORT":      port,
				"NUKA_HOME": home, "HOME": filepath.Join(e.WorkDir, "home"), "PATH": programs + string(os.PathListSeparator) + os.Getenv("PATH"),
				"URL": server.URL, "ADDRESS": strings.TrimPrefix(server.URL, "http://"), "TOOL_SHA256": fmt.Sprintf("%x", sum), "NATIVE_SHA256": fmt.Sprintf("%x", native), "TERM": "dumb", "BIN": programs,
				"REPOSITORIES": repositories,
			}
			for name, value := range set {
				e.Setenv(name, value)
			}
			// All scenes share one cache of machine code, so each module is compiled once.
			if err := os.Mkdir(filepath.Join(home, "cache"), 0o700); err != nil {
				return err
			}
			for _, dir := range []string{"code", "machine"} {
				if err := os.Symlink(filepath.Join(filepath.Dir(programs), dir), filepath.Join(home, "cache", dir)); err != nil {
					return err
				}
			}
			e.Defer(func() {
				stop(t, home)
				if others, _ := filepath.Glob(filepath.Join(e.WorkDir, "home-*")); len(others) > 0 {
					for _, other := range others {
						stop(t, other)
					}
				}
				removeHome(t, home)
			})
			return os.Mkdir(filepath.Join(e.WorkDir, "home"), 0o700)
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" { // the test runs as root, who may give files to other users
				return os.Getuid() == 0, nil
			}
			if cond == "long" {
				return os.Getenv("NUKA_LONG") == "1", nil
			}
			if cond == "fuse" {
				_, err := os.Stat("/dev/fuse")
				return err == nil, nil
			}
			if cond == "sandbox" { // what the tests of the sandbox itself demand
				return sandbox.Check(context.Background(), filepath.Join(programs, sandbox.LauncherName))[0].OK, nil
			}
			return false, fmt.Errorf("no condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "json": isJSON, "expand": expand, "capture": capture, "await": await, "empty": empty, "readonly": readonly, "damage": damage,
			"sethead": sethead, "fill": fill, "feedhead": feedhead, "desktop": desktopServer,
		},
	})
}

// freePort returns a UDP port of loopback that is free now.
func freePort() (string, error) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.LocalAddr().String())
	return port, err
}

// exits CODE PROGRAM [ARG…] runs a program that must end with this code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	var failed *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &failed) {
		code = failed.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// json FILE|stdout checks that a file is one JSON value.
func isJSON(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		if !json.Valid([]byte(ts.ReadFile(name))) {
			ts.Fatalf("%s is not JSON", name)
		}
	}
}

// expand FILE… replaces $URL, $ADDRESS, $PORT, $WORK, $TOOL_SHA256, $NUKA_HOME and $GOT_NAME of earlier captures in files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), func(key string) string {
			if v := ts.Getenv(key); v != "" && (key == "URL" || key == "PORT" || key == "TOOL_SHA256" || key == "NATIVE_SHA256" || slices.Contains([]string{"NUKA_HOME", "ADDRESS", "WORK"}, key) || strings.HasPrefix(key, "GOT_")) {
				return v
			}
			return "$" + key
		})
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

// capture NAME [WORD] sets GOT_NAME to the last command's output, or to one word of it: words count from 1, and -1 is the last one.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	text := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		words := strings.Fields(text)
		if n < 0 {
			n += len(words) + 1
		}
		if n < 1 || n > len(words) {
			ts.Fatalf("%q has no word %d", text, n)
		}
		text = words[n-1]
	}
	ts.Setenv("GOT_"+args[0], text)
}

// await log TEXT waits until a build has printed a text, await file NAME until a file exists, await output TEXT COMMAND… until the command prints the text,
// await ready until the daemon answers, await idle until the daemon is idle, await gone until the daemon has ended.
func await(ts *testscript.TestScript, _ bool, args []string) {
	home := ts.Getenv("NUKA_HOME")
	status := func() string {
		c := exec.Command(filepath.Join(programs, "nuka"), "status")
		c.Env = append(os.Environ(), "NUKA_HOME="+home)
		out, _ := c.Output()
		return string(out)
	}
	for range 600 {
		switch args[0] {
		case "log":
			logs, _ := filepath.Glob(filepath.Join(home, "work", "log", "*"))
			for _, name := range logs {
				if b, _ := os.ReadFile(name); bytes.Contains(b, []byte(args[1])) {
					return
				}
			}
		case "file":
			if _, err := os.Stat(ts.MkAbs(args[1])); err == nil {
				return
			}
		case "output":
			c := exec.Command(filepath.Join(programs, args[2]), args[3:]...)
			c.Env = append(os.Environ(), "NUKA_HOME="+home, "XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"))
			if out, _ := c.Output(); bytes.Contains(out, []byte(args[1])) {
				return
			}
		case "ready":
			if status() != "" {
				return
			}
		case "gone":
			if status() == "" {
				return
			}
		case "idle":
			if strings.Contains(status(), "nothing") {
				return
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("waited too long for %v", args)
}

// readonly HOME checks that no file in a home's store is writable.
func readonly(ts *testscript.TestScript, _ bool, args []string) {
	blobs, err := filepath.Glob(filepath.Join(args[0], "store", "blobs", "*", "*"))
	if err != nil || len(blobs) == 0 {
		ts.Fatalf("%s: %d files in its store, %v", args[0], len(blobs), err)
	}
	for _, name := range blobs {
		info, err := os.Stat(name)
		ts.Check(err)
		if info.Mode().Perm()&0o222 != 0 {
			ts.Fatalf("%s may be written: %v", name, info.Mode())
		}
	}
}

// empty DIR checks that a folder is empty.
func empty(ts *testscript.TestScript, _ bool, args []string) {
	list, err := os.ReadDir(ts.MkAbs(args[0]))
	if err != nil || len(list) > 0 {
		ts.Fatalf("%s: %v, %v", args[0], list, err)
	}
}
