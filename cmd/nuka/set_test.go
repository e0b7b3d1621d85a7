package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
	"github.com/MordragT/nuka/source"
)

// TestEmbeddedIndex checks that packages/index.nuon describes the set in nuka. With -update it writes the file.
func TestEmbeddedIndex(t *testing.T) {
	a := &app{terminal: stdTerminal(), home: protocol.Home{Cache: filepath.Dir(programs)}}
	entries, err := a.entriesAt(t.Context(), packages.FS, []nu.Mount{{Path: setMount, FS: packages.FS, Library: true}}, setMount)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		runtime := strings.HasPrefix(e.Path, "base/") || strings.HasPrefix(e.Path, "lang/") // of many packages, each with a licence of its own
		if e.Broken != "" || e.Version == "" || e.Description == "" || e.License == "" && !runtime {
			t.Errorf("%s: broken %q, version %q, description %q, license %q", e.Path, e.Broken, e.Version, e.Description, e.License)
		}
	}
	want, err := set.EncodeEntries(entries)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../../packages/index.nuon", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want), string(packages.Index)); d != "" {
		t.Errorf("packages/index.nuon (-want +got)\n%s\nwrite it again: go test ./cmd/nuka -run TestEmbeddedIndex -update", d)
	}
}

// TestLintEmbedded checks the set in nuka as its author would.
func TestLintEmbedded(t *testing.T) {
	a := &app{terminal: stdTerminal(), home: protocol.Home{Cache: filepath.Dir(programs)}}
	engine, err := nu.New(t.Context(), &nu.Options{CacheDir: a.home.Cache, Kinds: source.Table()})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	l := &linter{a: a, engine: engine}
	if err := l.folder(t.Context(), "../../packages"); err != nil {
		t.Fatal(err)
	}
	if l.files < 10 {
		t.Errorf("checked %d files; where are the others?", l.files)
	}
	for _, f := range l.found {
		if f.Rule == "no-main" && strings.HasSuffix(f.File, "/base/debian.nu") {
			continue // TODO(#14): the runtimes will use it
		}
		t.Errorf("%s [%s]", f.Diag.String(), f.Rule)
	}
}

// sethead DIR NUMBER LIFETIME [SEED [NAME]] signs a set with the key of a seed, as nuka set sign does, but with any lifetime: -1h has expired.
func sethead(ts *testscript.TestScript, _ bool, args []string) {
	number, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	life, err := time.ParseDuration(args[2])
	ts.Check(err)
	seed, name := byte(1), "theirs"
	if len(args) > 3 {
		seed = args[3][0]
	}
	if len(args) > 4 {
		name = args[4]
	}
	dir := ts.MkAbs(args[0])
	root, err := os.OpenRoot(dir)
	ts.Check(err)
	defer root.Close()
	h := &protocol.SetHead{Name: name, Number: number, Issued: time.Now().Add(min(0, life-time.Hour)), Expires: time.Now().Add(life)}
	h.Root, err = set.Hash(context.Background(), root.FS())
	ts.Check(err)
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	ts.Check(h.Sign(key))
	text, err := set.EncodeHead(h)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, set.HeadFile), text, 0o644))
	ts.Setenv("GOT_SIGNER", h.Signer.String())
}

// fill DIR COUNT makes a folder with that many empty files.
func fill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for i := range n {
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("p%d.nu", i)), nil, 0o644))
	}
}

// serveGit answers below /git/ with the repositories of a folder, by this machine's git.
func serveGit(t *testing.T, root string) http.Handler {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal("the scenes of sets need git: ", err)
	}
	return http.StripPrefix("/git", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(&cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
			Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root, "GIT_PROTOCOL=" + r.Header.Get("Git-Protocol")},
		}).ServeHTTP(w, r)
	}))
}
