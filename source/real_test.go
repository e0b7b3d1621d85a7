package source

import (
	"context"
	"crypto/sha256"
	"fmt"
	"github.com/MordragT/nuka/source/kind"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/archive"
)

// refusedReal maps the archives of testdata/archives.txt that are refused to the reasons.
var refusedReal = map[string]string{}

// TestRealArchives fetches the archives of testdata/archives.txt from the registries in this user's client configuration,
// unpacks them, and compares each tree with those that the archive's own tools make.
// NUKA_ARCHIVES names a folder that keeps the downloads.
func TestRealArchives(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("NUKA_LONG=1 downloads 200 archives")
	}
	list, err := os.ReadFile("testdata/archives.txt")
	if err != nil {
		t.Fatal(err)
	}
	keep := os.Getenv("NUKA_ARCHIVES")
	if keep == "" {
		keep = t.TempDir()
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	f := New(&Options{Client: &Client{Home: home, System: "/", Getenv: os.Getenv, Run: RunClient}, Limits: Limits{Download: 64 << 20}})
	var unpacked, refused, absent, compared int
	for line := range strings.Lines(string(list)) {
		field := append(strings.Fields(line), "", "", "")
		o := Origin{Kind: OriginKind(field[0]), Name: field[1], Version: field[2], Flags: kind.Fields{"arch": strings.TrimPrefix(field[3], "-"), "file": field[4]}}
		name := strings.TrimSpace(line)
		t.Run(strings.ReplaceAll(strings.ReplaceAll(name, " ", "_"), "/", "%"), func(t *testing.T) {
			path := filepath.Join(keep, fmt.Sprintf("%x", sha256.Sum256([]byte(name)))[:16])
			if _, err := os.Stat(path); err != nil {
				dir := t.TempDir()
				if _, err := f.Fetch(t.Context(), &Request{Origins: []Origin{o}, Unpack: pir.UnpackFile, Dir: dir}); err != nil {
					// Registries of distributions have one version at a time.
					absent++
					t.Skipf("not to be had: %v", err)
				}
				if err := copyFile(filepath.Join(dir, Out), path); err != nil {
					t.Fatal(err)
				}
			}
			u, ours, err := treeOf(t, path, o.Kind == Deb)
			why, listed := refusedReal[name]
			switch {
			case err != nil && listed:
				refused++
				t.Logf("refused, as %s: %v", why, err)
				return
			case err != nil:
				t.Fatalf("refused: %v", err)
			case listed:
				t.Errorf("it is unpacked, and need not be listed")
			}
			unpacked++
			if len(u.LeftOut) > 0 {
				t.Logf("left out: %v", u.LeftOut)
			}
			for tool, command := range toolsFor(t, path, o.Kind) {
				theirs, err := runTool(t, command)
				if err != nil {
					t.Errorf("%s: %v", tool, err)
					continue
				}
				compared++
				compareTrees(t, tool, ours, theirs)
			}
		})
	}
	t.Logf("%d unpacked, %d refused for a reason, %d not to be had; %d trees of tools compared", unpacked, refused, absent, compared)
	if unpacked < 150 {
		t.Errorf("only %d archives could be had and unpacked, want 150", unpacked)
	}
}

// toolsFor returns the installed tools that unpack the archive, each with its command; DIR stands for the folder.
func toolsFor(t *testing.T, path string, kind OriginKind) map[string][]string {
	t.Helper()
	head := make([]byte, 4)
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := io.ReadFull(file, head); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"tar": {"tar", "-xf", path, "-C", "DIR", "--no-same-owner"}, "bsdtar": {"bsdtar", "-xf", path, "-C", "DIR", "--no-same-owner"}}
	switch {
	case kind == Deb:
		all = map[string][]string{"dpkg-deb": {"dpkg-deb", "-x", path, "DIR"}}
	case string(head) == "PK\x03\x04":
		all = map[string][]string{"unzip": {"unzip", "-qqo", path, "-d", "DIR"}, "bsdtar": all["bsdtar"]}
	}
	maps.DeleteFunc(all, func(_ string, c []string) bool {
		_, err := exec.LookPath(c[0])
		return err != nil
	})
	return all
}

func runTool(t *testing.T, command []string) (map[string]string, error) {
	t.Helper()
	dir := t.TempDir()
	command = slices.Clone(command)
	for i, a := range command {
		if a == "DIR" {
			command[i] = dir
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil && command[0] == "bsdtar" && strings.Contains(string(out), "Skipping hardlink pointing to itself") {
		err = nil // ignored, as users ignore it
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %.500s", err, out)
	}
	return readTree(t, dir), nil
}

// treeOf unpacks the archive and returns the result.
func treeOf(t *testing.T, path string, deb bool) (*archive.Result, map[string]string, error) {
	t.Helper()
	out := t.TempDir()
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	a, err := openFetched(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	u, err := archive.Unpack(t.Context(), a.file, a.size, archive.Folder{Root: root}, &archive.Options{Deb: deb})
	return u, readTree(t, out), err
}

// readTree returns names, kinds, executable bits, link targets and contents: the properties that a tree has.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(dir, p)
		if err != nil || relErr != nil || rel == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := inUTF8(rel)
		switch {
		case d.IsDir():
			tree[at] = "folder"
		case info.Mode().IsRegular():
			body, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			tree[at] = fmt.Sprintf("file %x executable %t", sha256.Sum256(body), info.Mode()&0o111 != 0)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			tree[at] = "link " + inUTF8(target)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// inUTF8 converts a name as unpacking does: a name that is not UTF-8 is ISO 8859-1.
func inUTF8(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if utf8.ValidString(p) {
			continue
		}
		var runes []rune
		for _, c := range []byte(p) {
			runes = append(runes, rune(c))
		}
		parts[i] = string(runes)
	}
	return strings.Join(parts, "/")
}

func compareTrees(t *testing.T, tool string, ours, theirs map[string]string) {
	t.Helper()
	names := map[string]bool{}
	for _, tree := range []map[string]string{ours, theirs} {
		for name := range tree {
			names[name] = true
		}
	}
	differences := 0
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ours[name] == theirs[name] {
			continue
		}
		if differences++; differences < 6 {
			t.Errorf("%q: nuka has %q, %s has %q", name, ours[name], tool, theirs[name])
		}
	}
	if differences > 5 {
		t.Errorf("and %d more", differences-5)
	}
}

func copyFile(from, to string) error {
	body, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, body, 0o600)
}
