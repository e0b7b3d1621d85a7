package source

import (
	"context"
	"errors"
	"fmt"
	"github.com/MordragT/nuka/source/kind"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
)

// A gitRepo is a repository that this machine's git serves over smart HTTP.
type gitRepo struct {
	t       *testing.T
	dir     string
	address string
	// oldProtocol makes the server hide the header with the protocol version from git.
	oldProtocol atomic.Bool
	authorized  atomic.Bool  // a request had credentials
	packs       atomic.Int64 // bytes of responses to requests for packs
}

func newGitRepo(t *testing.T, init ...string) *gitRepo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("the tests of git need git: ", err)
	}
	root := t.TempDir()
	r := &gitRepo{t: t, dir: filepath.Join(root, "r")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(append([]string{"init", "-q", "-b", "main"}, init...)...)
	r.git("config", "uploadpack.allowAnySHA1InWant", "true")
	programs := strings.TrimSpace(r.git("--exec-path"))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			r.authorized.Store(true)
		}
		if req.Method == http.MethodPost {
			w = &countingWriter{w, &r.packs}
		}
		env := []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + root}
		if !r.oldProtocol.Load() {
			env = append(env, "GIT_PROTOCOL="+req.Header.Get("Git-Protocol"))
		}
		// CGI needs a Content-Length, which our requests have because they are not chunked.
		(&cgi.Handler{Path: filepath.Join(programs, "git-http-backend"), Env: env, Stderr: io.Discard, Logger: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}).ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.address = server.URL + "/r"
	return r
}

// beside makes another repository on the same server.
func (r *gitRepo) beside(name string) *gitRepo {
	r.t.Helper()
	o := &gitRepo{t: r.t, dir: filepath.Join(filepath.Dir(r.dir), name), address: strings.TrimSuffix(r.address, "/r") + "/" + name}
	if err := os.Mkdir(o.dir, 0o755); err != nil {
		r.t.Fatal(err)
	}
	o.git("init", "-q", "-b", "main")
	o.git("config", "uploadpack.allowAnySHA1InWant", "true")
	return o
}

func (r *gitRepo) git(args ...string) string {
	r.t.Helper()
	c := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=n", "-c", "user.email=e"}, args...)...)
	c.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+r.dir, "GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000")
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

func (r *gitRepo) write(name, content string) {
	r.t.Helper()
	at := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// commit commits everything and returns the commit's id.
func (r *gitRepo) commit() string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "m")
	return strings.TrimSpace(r.git("rev-parse", "HEAD"))
}

// fetch fetches a revision and returns the folder of its tree.
func (r *gitRepo) fetch(o Options, rev string) (string, pir.Hash, error) {
	dir := r.t.TempDir()
	hash, err := fetcher(o).Fetch(r.t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: r.address, Flags: kind.Fields{"rev": rev}}}, Dir: dir})
	if err == nil {
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			r.t.Errorf("beside the output stay %v", left)
		}
	}
	return filepath.Join(dir, Out), hash, err
}

// TestGit fetches each kind of revision, from a server of each version of the protocol.
func TestGit(t *testing.T) {
	r := newGitRepo(t)
	r.write("a", "one")
	first := r.commit()
	r.git("tag", "v1")
	r.write("a", "two")
	second := r.commit()
	r.git("tag", "-a", "-m", "annotated", "v2")
	r.git("tag", "-a", "-m", "a tag of a tag", "v2-again", "v2")
	annotated := strings.TrimSpace(r.git("rev-parse", "refs/tags/v2"))
	r.git("update-ref", "refs/pull/1/head", first)
	r.write("a", "lost")
	lost := r.commit()
	r.git("reset", "-q", "--hard", second)
	r.git("checkout", "-q", "-b", "feature/x")
	r.write("a", "feature")
	r.commit()
	r.git("checkout", "-q", "main")

	trees := map[string]pir.Hash{}
	for _, old := range []bool{false, true} {
		r.oldProtocol.Store(old)
		for rev, want := range map[string]string{
			first: "one", "v1": "one", "refs/tags/v1": "one", "tags/v1": "one", "refs/pull/1/head": "one",
			"v2": "two", "v2-again": "two", annotated: "two", "main": "two", "HEAD": "two", "refs/heads/main": "two", "feature/x": "feature",
			lost: "lost", strings.ToUpper(lost): "lost",
		} {
			out, hash, err := r.fetch(Options{}, rev)
			if err != nil {
				t.Errorf("old protocol %v: %s: %v", old, rev, err)
				continue
			}
			got, err := os.ReadFile(filepath.Join(out, "a"))
			if err != nil || string(got) != want {
				t.Errorf("old protocol %v: %s: got %q, %v; want %q", old, rev, got, err, want)
			}
			trees[want] = hash
		}
		for _, rev := range []string{"nope", "v", first[:10], strings.Repeat("0", 39) + "1", strings.Repeat("1", 64), "a\nb"} {
			if _, _, err := r.fetch(Options{}, rev); protocol.CodeOf(err) != protocol.NotFound {
				t.Errorf("old protocol %v: %q: got %v, want not-found", old, rev, err)
			}
		}
	}
	_, err := fetcher(Options{}).Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: Git, URL: r.address, Flags: kind.Fields{"rev": "v1"}}}, Hash: trees["two"], Dir: t.TempDir(),
	})
	if protocol.CodeOf(err) != protocol.Mismatch {
		t.Errorf("got %v, want a mismatch", err)
	}
	// A hash of an archive does not fix a commit, so the fetch must fail.
	_, err = fetcher(Options{}).Fetch(t.Context(), &Request{
		Origins: []Origin{{Kind: Git, URL: r.address, Flags: kind.Fields{"rev": "v1"}}}, Hash: sha([]byte("x")), Dir: t.TempDir(),
	})
	if protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("by a sha256 hash: got %v, want invalid", err)
	}
}

// TestGitTree compares a tree with every kind of entry with git's own checkout.
func TestGitTree(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		r := newGitRepo(t, "--object-format="+format)
		r.write("dir/sub/file", "text\r\n")
		r.write("empty", "")
		r.write("tool", "#!/bin/sh\n")
		r.write("back\\slash", "b")
		r.write("ünï", "u")
		r.write(".gitattributes", "*.txt text eol=crlf export-subst\n")
		r.write("a.txt", "$Format:%H$\n")
		// Large texts with small differences, so that packs have deltas of deltas.
		text := strings.Repeat("a line of some length that is the same in each of them\n", 3000)
		for i := range 20 {
			r.write(fmt.Sprintf("big/%d", i), fmt.Sprintf("%s%d\n%s%d", text[:i*5000], i, text, i))
		}
		for name, target := range map[string]string{"abs": "/dev/null", "up": "../../x", "dead": "nowhere", "dir/rel": "../tool"} {
			if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Join(r.dir, "tool"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.commit()
		for range 3 { // history that must not be sent
			r.write("noise", strings.Repeat(time.Now().String(), 1000))
			r.commit()
		}
		r.git("rm", "-q", "noise")
		r.commit()
		r.git("repack", "-q", "-a", "-d", "-f", "--depth=50", "--window=50")
		out, _, err := r.fetch(Options{}, "main")
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		want, got := describe(t, r.dir), describe(t, out)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the tree differs from git's (-git +nuka):\n%s", format, diff)
		}
		if len(got) < 30 {
			t.Errorf("%s: %d entries", format, len(got))
		}
	}
}

// describe returns the entries of a tree, without .git.
func describe(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == ".git" {
			return filepath.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			out[rel] = "dir"
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(p)
			out[rel] = "-> " + target
			return err
		default:
			content, err := os.ReadFile(p)
			out[rel] = fmt.Sprintf("%v %s", info.Mode()&0o111 != 0, sha(content))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestGitDepth checks that no history is fetched.
func TestGitDepth(t *testing.T) {
	r := newGitRepo(t)
	noise := make([]byte, 2<<20)
	for i := range 3 {
		for j := range noise {
			noise[j] = byte(uint32(j*j*7+i*j) >> 3 * uint32(i+11) >> 5)
		}
		r.write("noise", sha(noise).String()+string(noise))
		r.write("random", strings.Repeat(sha([]byte{byte(i)}).String(), 1<<14))
		r.commit()
	}
	r.git("rm", "-q", "noise", "random")
	r.write("a", "a")
	r.commit()
	if _, _, err := r.fetch(Options{}, "main"); err != nil {
		t.Fatal(err)
	}
	if got := r.packs.Load(); got > 4<<10 {
		t.Errorf("%d bytes came for one file of one byte", got)
	}
}

// TestGitLimits fetches repositories that exceed each limit: none may put more than the limit on disk.
func TestGitLimits(t *testing.T) {
	r := newGitRepo(t)
	r.write("zeros", strings.Repeat("\x00", 32<<20))
	r.commit()
	many := newGitRepo(t)
	for i := range 40 {
		many.write(fmt.Sprint(i), fmt.Sprint(i))
	}
	many.commit()
	same := newGitRepo(t) // one object, many entries
	for i := range 40 {
		same.write(fmt.Sprint(i), "x")
	}
	same.commit()
	large := newGitRepo(t)
	noise := make([]byte, 0, 2<<20)
	for i := 0; len(noise) < 2<<20; i++ {
		noise = append(noise, sha(fmt.Append(nil, i)).Digest()...)
	}
	large.write("noise", string(noise))
	large.commit()
	for name, c := range map[string]struct {
		repo   *gitRepo
		limits Limits
	}{
		"inflated bytes": {r, Limits{Limits: archive.Limits{Unpacked: 1 << 20, Files: 10}}},
		"objects":        {many, Limits{Limits: archive.Limits{Files: 10}}},
		"entries":        {same, Limits{Limits: archive.Limits{Files: 10}}},
		"download":       {large, Limits{Download: 1 << 20}},
	} {
		begin := time.Now()
		out, _, err := c.repo.fetch(Options{Limits: c.limits}, "main")
		if protocol.CodeOf(err) != protocol.Exhausted {
			t.Errorf("%s: got %v after %v, want exhausted", name, err, time.Since(begin))
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: an output stays", name)
		}
	}
}

// TestGitNames builds trees that git itself would refuse to make.
func TestGitNames(t *testing.T) {
	r := newGitRepo(t)
	r.write("a", "a")
	r.commit()
	blob := strings.TrimSpace(r.git("rev-parse", "HEAD:a"))
	sub := strings.TrimSpace(r.git("rev-parse", "HEAD^{tree}"))
	raw := func(hex string) string {
		var b []byte
		if _, err := fmt.Sscanf(hex, "%x", &b); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := func(name string) string { return "100644 " + name + "\x00" + raw(blob) }
	for name, tree := range map[string]string{
		"dotgit": file(".git"), "upper": file(".GIT"), "ntfs": file("git~1"), "stream": file(".git::$INDEX_ALLOCATION"), "dots": file(".git. ."),
		"hfs": file(".g\u200cit"), "backslash": file("x\\.git\\hooks"), "parent": file(".."), "self": file("."), "slash": file("a/b"),
		"absolute": file("/etc/passwd"), "empty": file(""), "twice": file("a") + file("a"), "twice, one a folder": file("a") + "40000 a\x00" + raw(sub),
		"device": "20644 a\x00" + raw(blob), "folder that is a file": "40000 a\x00" + raw(blob), "file that is a folder": "100644 a\x00" + raw(sub),
		"cut off": "100644 a\x00" + raw(blob)[:19], "no mode": file("b")[3:], "below a link": "120000 a\x00" + raw(blob) + file("a/b"),
	} {
		path := filepath.Join(t.TempDir(), "tree")
		if err := os.WriteFile(path, []byte(tree), 0o600); err != nil {
			t.Fatal(err)
		}
		id := strings.TrimSpace(r.git("hash-object", "--literally", "-w", "-t", "tree", path))
		commit := strings.TrimSpace(r.git("commit-tree", "-m", "m", id))
		out, _, err := r.fetch(Options{Retries: -1}, commit)
		if err == nil {
			list, _ := os.ReadDir(out)
			t.Errorf("%s: fetched: %v", name, list)
		}
	}
	r.git("update-index", "--add", "--cacheinfo", "160000,"+strings.Repeat("1", 40)+",lib/sub")
	r.git("commit", "-q", "-m", "m")
	if _, _, err := r.fetch(Options{}, "main"); protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), "lib/sub") {
		t.Errorf("a submodule: %v, want an error that names it", err)
	}
}

// TestGitAddresses checks that fetches refuse addresses that git could reach.
func TestGitAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"file:///srv/x": "fetch path", "/srv/x": "fetch path", "../x": "fetch path",
		"ssh://git@host/x": "https", "git@host:x": "https", "git://host/x": "https", "ext::sh -c id": "https",
		"https://user:secret@host/x": "netrc",
	} {
		_, err := fetcher(Options{}).Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: address, Flags: kind.Fields{"rev": "v1"}}}, Dir: t.TempDir()})
		if protocol.CodeOf(err) != protocol.Invalid || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want an error with %q", address, err, want)
		}
	}
	// Redirects follow the rules of every fetch, and the request for the pack goes to the server that answered the first request.
	r := newGitRepo(t)
	r.write("a", "a")
	r.commit()
	moved := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost {
			t.Error("the old address was asked for the pack")
		}
		http.Redirect(w, req, strings.TrimSuffix(r.address, "/r")+strings.Replace(req.URL.String(), "/old", "/r", 1), http.StatusMovedPermanently)
	}))
	defer moved.Close()
	fetch := func(f *Fetcher, address string) error {
		_, err := f.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: address, Flags: kind.Fields{"rev": "main"}}}, Dir: t.TempDir()})
		return err
	}
	if err := fetch(fetcher(Options{}), moved.URL+"/old"); err != nil {
		t.Error(err)
	}
	// Credentials for the old address are not sent to the new one.
	var given atomic.Int32
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			given.Add(1)
		}
		http.Redirect(w, req, strings.TrimSuffix(r.address, "/r")+req.URL.String(), http.StatusMovedPermanently)
	}))
	defer old.Close()
	netrc := filepath.Join(t.TempDir(), "netrc")
	if err := os.WriteFile(netrc, fmt.Appendf(nil, "machine %s login me password p\n", strings.TrimPrefix(old.URL, "http://")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.authorized.Store(false)
	known := fetcher(Options{Client: &Client{Getenv: environment(map[string]string{"NETRC": netrc})}})
	if err := fetch(known, old.URL+"/r"); err != nil || given.Load() != 1 || r.authorized.Load() {
		t.Errorf("%v; the old address was given the credentials %d times, the new one: %v", err, given.Load(), r.authorized.Load())
	}
	outside := fetcher(Options{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		if req.URL.Host == "outside.invalid" {
			return &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {r.address + "/info/refs?service=git-upload-pack"}}, Body: http.NoBody, Request: req}, nil
		}
		return http.DefaultTransport.RoundTrip(req)
	})})
	if err := fetch(outside, "http://outside.invalid/r"); !errors.Is(err, errRefused) {
		t.Errorf("redirect to loopback: got %v, want a refusal", err)
	}
}

// TestGitHostileServers has servers that do not follow git's protocol. Each fetch must end, with an error that says why.
func TestGitHostileServers(t *testing.T) {
	pkt := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	advertise := pkt("# service=git-upload-pack\n") + "0000" + pkt("version 2\n") + pkt("fetch=shallow\n") + "0000"
	for name, c := range map[string]struct {
		advertisement, pack string
		endless             string // sent without end
		want                protocol.Code
	}{
		"a web page":           {advertisement: "<html>", want: protocol.Invalid},
		"nothing":              {advertisement: "", want: protocol.Invalid},
		"endless list":         {advertisement: advertise[:len(advertise)-4], endless: pkt("x=" + strings.Repeat("y", 60000)), want: protocol.Exhausted},
		"says no":              {advertisement: advertise, pack: pkt("ERR no")},
		"no pack":              {advertisement: advertise, pack: "0000", want: protocol.Unavailable},
		"half a pack":          {advertisement: advertise, pack: pkt("packfile\n") + pkt("\x01PACK"), want: protocol.Unavailable},
		"a pack of nothing":    {advertisement: advertise, pack: pkt("packfile\n") + "0000", want: protocol.Invalid},
		"a pack without end":   {advertisement: advertise, pack: pkt("packfile\n"), endless: pkt("\x01" + strings.Repeat("P", 60000)), want: protocol.Exhausted},
		"progress without end": {advertisement: advertise, pack: pkt("packfile\n"), endless: pkt("\x02" + strings.Repeat("P", 60000)), want: protocol.Exhausted},
		"an unknown band":      {advertisement: advertise, pack: pkt("packfile\n") + pkt("\x07x"), want: protocol.Unavailable},
		"an error in a band":   {advertisement: advertise, pack: pkt("packfile\n") + pkt("\x03disk full")},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				body, kind := c.advertisement, "advertisement"
				if req.Method == http.MethodPost {
					body, kind = c.pack, "result"
				}
				w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
				io.WriteString(w, body)
				for c.endless != "" && (c.pack == "" || req.Method == http.MethodPost) {
					if _, err := io.WriteString(w, c.endless); err != nil {
						return
					}
				}
			}))
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := fetcher(Options{Retries: -1, Limits: Limits{Download: 4 << 20}})
			_, err := f.Fetch(ctx, &Request{Origins: []Origin{{Kind: Git, URL: server.URL, Flags: kind.Fields{"rev": strings.Repeat("1", 40)}}}, Dir: t.TempDir()})
			if err == nil || ctx.Err() != nil || c.want != "" && protocol.CodeOf(err) != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if c.want == "" && !errors.Is(err, errRefused) {
				t.Errorf("got %v, want a refusal, which is not tried again", err)
			}
		})
	}
	// A response that stalls in the middle must time out.
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		io.WriteString(w, advertise[:20])
		w.(http.Flusher).Flush()
		<-hang
	}))
	defer server.Close()
	defer close(hang)
	f := fetcher(Options{Retries: -1})
	f.stall = 50 * time.Millisecond
	if _, err := f.Fetch(t.Context(), &Request{Origins: []Origin{{Kind: Git, URL: server.URL, Flags: kind.Fields{"rev": "v1"}}}, Dir: t.TempDir()}); err == nil {
		t.Error("fetched from a server that hangs")
	}
}
