package source

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"github.com/MordragT/nuka/source/kind"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/patch"
)

// aptServer serves source packages like Debian's archive and returns a fetcher whose apt configuration names it.
func aptServer(t *testing.T, name, version, format string, files map[string][]byte) *Fetcher {
	t.Helper()
	dsc := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nFormat: " + format + "\nSource: " + name + "\nVersion: " + version + "\nChecksums-Sha256:\n"
	for _, file := range slices.Sorted(maps.Keys(files)) {
		dsc += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(files[file]), len(files[file]), file)
	}
	dsc += "\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
	files = maps.Clone(files)
	files[name+"_"+withoutEpoch(version)+".dsc"] = []byte(dsc)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := files[strings.TrimPrefix(r.URL.Path, "/debian/pool/main/d/"+name+"/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	t.Cleanup(server.Close)
	system := t.TempDir()
	err := os.MkdirAll(filepath.Join(system, "etc/apt"), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(system, "etc/apt/sources.list"), []byte("deb "+server.URL+"/debian stable main\n"), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fetcher(Options{Client: &Client{System: system}})
}

func fetchSource(t *testing.T, f *Fetcher, o Origin, want pir.Hash) (map[string]string, pir.Hash, error) {
	t.Helper()
	dir := t.TempDir()
	o.Kind = DebSrc
	got, err := f.Fetch(t.Context(), &Request{Origins: []Origin{o}, Hash: want, Unpack: pir.UnpackArchive, Strip: 1, Dir: dir})
	tree := map[string]string{}
	if err == nil {
		for name, what := range readTree(t, filepath.Join(dir, Out)) {
			tree[name] = what
			if strings.HasPrefix(what, "file") {
				body, err := os.ReadFile(filepath.Join(dir, Out, name))
				if err != nil {
					t.Fatal(err)
				}
				tree[name] = string(body)
				if strings.HasSuffix(what, "true") {
					tree[name] += " (x)"
				}
			}
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("left beside the output: %v", left)
		}
	}
	return tree, got, err
}

func TestDebianSource(t *testing.T) {
	orig := gz(t, makeTar(t, file("demo-1/a", "one\ntwo\nthree\n"), file("demo-1/gone", "x\n"), file("demo-1/debian/old", "upstream's\n"), file("demo-1/doc/x", "replaced\n")))
	doc := gz(t, makeTar(t, file("x-1/readme", "doc\n")))
	flat := gz(t, makeTar(t, file("b", "1"), file("c", "2")))
	changes := gz(t, makeTar(t, file("debian/rules", "#!\n"), file("debian/patches/series", "# all\nfirst -p1\nsub/second # why\n"),
		file("debian/patches/first", "Text.\n--- a/a\n+++ b/a\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"),
		file("debian/patches/sub/second", "--- /dev/null\n+++ b/new/file\n@@ -0,0 +1 @@\n+made\n--- a/a\n+++ b/a\n@@ -2 +2,2 @@\n-2\n+two\n+and a half\n")))
	files := map[string][]byte{
		"demo_1.orig.tar.gz": orig, "demo_1.orig-doc.tar.gz": doc, "demo_1.orig-flat.tar.gz": flat, "demo_1.orig.tar.gz.asc": []byte("sig"), "demo_1-2.debian.tar.gz": changes,
	}
	f := aptServer(t, "demo", "1:1-2", "3.0 (quilt)", files)
	o := Origin{Name: "demo", Version: "1:1-2"}
	plain := map[string]string{
		"a": "one\ntwo\nthree\n", "gone": "x\n", "debian": "folder", "debian/old": "upstream's\n", "doc": "folder", "doc/readme": "doc\n", "flat": "folder", "flat/b": "1", "flat/c": "2",
	}
	got, tree, err := fetchSource(t, f, o, pir.Hash{})
	if diff := cmp.Diff(plain, got); diff != "" || err != nil {
		t.Errorf("all originals: %v (-want +got)\n%s", err, diff)
	}
	if _, _, err := fetchSource(t, f, o, tree); err != nil {
		t.Errorf("by the hash of the tree: %v", err)
	}
	got, _, err = fetchSource(t, f, o, sha(doc))
	if diff := cmp.Diff(map[string]string{"readme": "doc\n"}, got); diff != "" || err != nil {
		t.Errorf("by the digest of one: %v (-want +got)\n%s", err, diff)
	}
	o.Flags = kind.Fields{"patches": "true"}
	got, _, err = fetchSource(t, f, o, pir.Hash{})
	want := maps.Clone(plain)
	maps.Copy(want, map[string]string{
		"a": "one\ntwo\nand a half\nthree\n", "new": "folder", "new/file": "made\n", "debian/rules": "#!\n (x)", "debian/patches": "folder", "debian/patches/sub": "folder",
		"debian/patches/series": got["debian/patches/series"], "debian/patches/first": got["debian/patches/first"], "debian/patches/sub/second": got["debian/patches/sub/second"],
	})
	delete(want, "gone")
	delete(want, "debian/old")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("with patches: %v (-want +got)\n%s", err, diff)
	}
	if _, _, err := fetchSource(t, f, o, sha(orig)); protocol.CodeOf(err) != protocol.Invalid {
		t.Errorf("patches and the digest of an archive: got %v, want a refusal", err)
	}
	files["demo_1.orig-doc.tar.gz"] = bytes.Clone(doc)
	files["demo_1.orig-doc.tar.gz"][20] ^= 1
	f = aptServer(t, "demo", "1:1-2", "3.0 (quilt)", files)
	o.Flags = nil
	if _, _, err := fetchSource(t, f, o, tree); err == nil {
		t.Error("a damaged part was taken")
	}
}

func TestDebianNative(t *testing.T) {
	f := aptServer(t, "demo", "1.21", "3.0 (native)", map[string][]byte{"demo_1.21.tar.gz": gz(t, makeTar(t, file("demo/a", "x")))})
	for _, patches := range []string{"", "true"} {
		got, _, err := fetchSource(t, f, Origin{Name: "demo", Version: "1.21", Flags: kind.Fields{"patches": patches}}, pir.Hash{})
		if diff := cmp.Diff(map[string]string{"a": "x"}, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got)\n%s", err, diff)
		}
	}
	diff := "--- demo-1.orig/a\n+++ demo-1/a\n@@ -1 +1 @@\n-x\n\\ No newline at end of file\n+y\n--- demo-1.orig/debian/rules\n+++ demo-1/debian/rules\n@@ -0,0 +1 @@\n+#!\n"
	f = aptServer(t, "demo", "1-1", "1.0", map[string][]byte{"demo_1.orig.tar.gz": gz(t, makeTar(t, file("demo/a", "x"))), "demo_1-1.diff.gz": gz(t, []byte(diff))})
	got, _, err := fetchSource(t, f, Origin{Name: "demo", Version: "1-1", Flags: kind.Fields{"patches": "true"}}, pir.Hash{})
	if diff := cmp.Diff(map[string]string{"a": "y\n", "debian": "folder", "debian/rules": "#!\n (x)"}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestHostilePatch has patches that lead out of the source, or that do not apply.
func TestHostilePatch(t *testing.T) {
	hunk := "@@ -1 +1 @@\n-untouched\n+touched\n"
	for name, text := range map[string]string{
		"dotdot":         "--- a/../canary\n+++ b/../canary\n" + hunk,
		"absolute":       "--- /canary/../../canary\n+++ /canary/../../canary\n" + hunk,
		"through a link": "--- a/up/canary\n+++ b/up/canary\n" + hunk,
		"a link inside":  "--- a/in/x\n+++ b/in/x\n@@ -1 +1 @@\n-inner\n+touched\n",
		"new below link": "--- /dev/null\n+++ b/up/new\n@@ -0,0 +1 @@\n+x\n",
		"a link":         "--- a/link\n+++ b/link\n" + hunk,
		"quoted":         "--- \"a/\\056./canary\"\n+++ \"b/\\056./canary\"\n" + hunk,
		"does not fit":   "--- a/file\n+++ b/file\n" + hunk,
		"no such file":   "--- a/none\n+++ b/none\n" + hunk,
		"there already":  "--- /dev/null\n+++ b/file\n@@ -0,0 +1 @@\n+x\n",
		"cut off":        "--- a/file\n+++ b/file\n@@ -1,5 +1,5 @@\n content\n",
		"huge":           "--- a/file\n+++ b/file\n@@ -1,9999999999999999999 +1 @@\n content\n",
		"negative":       "--- a/file\n+++ b/file\n@@ --1,1 +1 @@\n content\n",
		"no hunks":       "--- a/file\n+++ b/file\n",
		"binary":         "diff --git a/file b/file\nGIT binary patch\nliteral 3\n",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			parent := t.TempDir()
			out := filepath.Join(parent, "out")
			for _, err := range []error{
				os.WriteFile(filepath.Join(parent, "canary"), []byte("untouched\n"), 0o600), os.Mkdir(out, 0o755),
				os.WriteFile(filepath.Join(out, "file"), []byte("content\n"), 0o600),
				os.Mkdir(filepath.Join(out, "sub"), 0o755), os.WriteFile(filepath.Join(out, "sub", "x"), []byte("inner\n"), 0o600), os.Symlink("sub", filepath.Join(out, "in")),
				os.Symlink("..", filepath.Join(out, "up")), os.Symlink("../canary", filepath.Join(out, "link")),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			root, err := os.OpenRoot(out)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if err := patch.Apply(t.Context(), root, archive.Folder{Root: root}.Create, []byte(text)); err == nil {
				t.Errorf("applied: %v", readTree(t, out))
			}
			if body, err := os.ReadFile(filepath.Join(parent, "canary")); string(body) != "untouched\n" {
				t.Errorf("the file beside the source is %q, %v", body, err)
			}
			if left, _ := os.ReadDir(parent); len(left) != 2 {
				t.Errorf("written beside the source: %v", left)
			}
		})
	}
}

// FuzzPatch checks that no patch panics, leaves its folder, or runs forever.
func FuzzPatch(f *testing.F) {
	f.Add([]byte("--- a/file\n+++ b/file\n@@ -1 +1,2 @@\n-content\n+1\n+2\n"))
	f.Add([]byte("--- a/up/x\n+++ b/up/x\n@@ -0,0 +1 @@\n+1\n\\ No newline\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parent := t.TempDir()
		out := filepath.Join(parent, "out")
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(out)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := root.WriteFile("file", []byte("content\nmore\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := root.Symlink("..", "up"); err != nil {
			t.Fatal(err)
		}
		_ = patch.Apply(t.Context(), root, archive.Folder{Root: root}.Create, text)
		if left, _ := os.ReadDir(parent); len(left) != 1 {
			t.Errorf("written beside the source: %v", left)
		}
	})
}

// TestRealDebianSources fetches whole sources with Debian's patches, and compares them with the result of dpkg-source for the same files.
func TestRealDebianSources(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("NUKA_LONG=1 downloads 32 source packages")
	}
	if _, err := exec.LookPath("dpkg-source"); err != nil {
		t.Skip("there is no dpkg-source here")
	}
	list, err := os.ReadFile("testdata/debian-sources.txt")
	if err != nil {
		t.Fatal(err)
	}
	f := New(&Options{Client: &Client{System: "/"}})
	compared := 0
	for line := range strings.Lines(string(list)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		t.Run(name, func(t *testing.T) {
			o := Origin{Kind: DebSrc, Name: name, Version: version, Flags: kind.Fields{"patches": "true"}}
			dir := t.TempDir()
			s, err := f.debianSource(t.Context(), f.o.Client.aptSources(), o)
			if err != nil || s == nil {
				t.Skipf("not to be had: %v", err)
			}
			theirs := filesOf(t, f, s)
			if out, err := exec.Command("dpkg-source", "--no-check", "-x", filepath.Join(theirs, "x.dsc"), filepath.Join(theirs, "out")).CombinedOutput(); err != nil {
				t.Fatalf("dpkg-source: %v: %s", err, out)
			}
			if err := os.RemoveAll(filepath.Join(theirs, "out", ".pc")); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Fetch(t.Context(), &Request{Origins: []Origin{o}, Unpack: pir.UnpackArchive, Strip: 1, Dir: dir}); err != nil {
				t.Fatal(err)
			}
			compareTrees(t, "dpkg-source", readTree(t, filepath.Join(dir, Out)), readTree(t, filepath.Join(theirs, "out")))
			compared++
		})
	}
	if t.Logf("%d trees compared", compared); compared < 20 {
		t.Errorf("only %d sources could be had, want 20", compared)
	}
}

// filesOf downloads the files of a source package, and writes the .dsc that dpkg-source needs.
func filesOf(t *testing.T, f *Fetcher, s *debianSource) string {
	t.Helper()
	dir := t.TempDir()
	dsc := "Format: " + s.format + "\nSource: " + s.name + "\nVersion: " + s.version + "\nFiles:\n"
	sums := "Checksums-Sha256:\n"
	for _, file := range s.files {
		part := t.TempDir()
		a, err := f.downloadOne(t.Context(), file.place, &Request{Hash: file.sha256, Dir: part})
		if protocol.CodeOf(err) == protocol.NotFound {
			t.Skipf("not to be had: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		a.close()
		if err := os.Rename(a.path, filepath.Join(dir, file.name)); err != nil {
			t.Fatal(err)
		}
		sums += fmt.Sprintf(" %x %d %s\n", file.sha256.Digest(), a.size, file.name)
		dsc += fmt.Sprintf(" %032x %d %s\n", 0, a.size, file.name)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.dsc"), []byte(strings.Replace(dsc, "Files:\n", sums+"Files:\n", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
