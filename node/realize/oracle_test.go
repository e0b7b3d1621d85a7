//go:build linux

package realize

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fhs"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/kind"
)

// TestOracle fetches the packages of testdata/oracle/packages.txt through this user's apt configuration, installs them with dpkg and all their
// scripts, and compares the result with the tree that the layout fhs-1 makes of them. Each difference has a reason in differences.txt.
// NUKA_DEBS names a folder that keeps the packages; NUKA_ORACLE one that keeps the installed tree.
func TestOracle(t *testing.T) {
	if os.Getenv("NUKA_LONG") == "" {
		t.Skip("NUKA_LONG=1 fetches and installs 150 packages")
	}
	if _, err := exec.LookPath("dpkg"); err != nil || os.Getuid() != 0 {
		t.Skip("it needs dpkg, and root")
	}
	debs, oracle := os.Getenv("NUKA_DEBS"), os.Getenv("NUKA_ORACLE")
	if debs == "" {
		debs = t.TempDir()
	}
	s := castest.Open(t, t.TempDir(), nil)
	packages, o := oraclePackages(t, s, debs, "")
	root, tree, err := compose(t.Context(), s, pir.LayoutFHS1, packages, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d packages, %d entries, %d bytes: %s; %v", len(packages), len(tree.Entries), tree.Size, root, tree.Notes)
	if oracle == "" {
		oracle = filepath.Join(t.TempDir(), "root")
	}
	if _, err := os.Stat(oracle); err != nil {
		cmd := exec.CommandContext(t.Context(), "unshare", "-m", "--propagation", "private", "bash", "testdata/oracle/install.sh", debs, oracle)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("install: %v\n%s", err, out[max(0, len(out)-4000):])
		}
	}
	ours, theirs := storedTree(t, s, root), installedTree(t, oracle)
	var differ []string
	for at, form := range ours {
		if theirs[at] == "" {
			differ = append(differ, "+ "+at)
		} else if theirs[at] != form {
			differ = append(differ, "~ "+at)
		}
	}
	for at := range theirs {
		if ours[at] == "" {
			differ = append(differ, "- "+at)
		}
	}
	slices.Sort(differ)
	explain(t, differ, ours, theirs)
	const store = "etc/ssl/certs/java/cacerts"
	mine := func() []byte {
		e, err := s.Lookup(t.Context(), root, store)
		if err != nil {
			t.Fatal(err)
		}
		b, err := castest.ReadFile(t.Context(), s, e.CID)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}()
	java, err := os.ReadFile(filepath.Join(oracle, store))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trustedIn(t, java), trustedIn(t, mine)); diff != "" {
		t.Errorf("%s (-keytool +got):\n%s", store, diff)
	}
}

// oraclePackages fetches the packages of a set that debs lacks, and imports them. The set "" has all packages.
func oraclePackages(t testing.TB, s *cas.Store, debs, set string) ([]fhs.Package, *cas.ComposeOptions) {
	t.Helper()
	list, err := os.ReadFile("testdata/oracle/packages.txt")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	f := source.New(&source.Options{Client: &source.Client{Home: home, System: "/", Getenv: os.Getenv}})
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return set != "" && !strings.HasSuffix(line, " "+set) })
	packages, parts := make([]fhs.Package, len(lines)), make([]cid.CID, len(lines))
	work := func(i int) error {
		p := strings.Fields(lines[i]) // name, version, architecture, path, hash, perhaps a set
		packages[i].Name = p[0]
		deb := filepath.Join(debs, p[0]+".deb")
		hash, err := pir.ParseHash(p[4])
		if err != nil {
			return err
		}
		if _, err := os.Stat(deb); err != nil {
			dir := t.TempDir()
			o := source.Origin{Kind: source.Deb, Name: p[0], Version: p[1], Flags: kind.Fields{"path": p[3]}}
			if _, err := f.Fetch(t.Context(), &source.Request{Origins: []source.Origin{o}, Hash: hash, Unpack: pir.UnpackFile, Dir: dir}); err != nil {
				return err
			}
			if err := os.Rename(filepath.Join(dir, source.Out), deb); err != nil {
				return err
			}
		}
		out := t.TempDir()
		if _, err := archive.UnpackFile(t.Context(), deb, out, &archive.Options{Deb: true, Control: true}); err != nil {
			return fmt.Errorf("%s: %w", p[0], err)
		}
		defer os.RemoveAll(out)
		parts[i], err = s.Import(t.Context(), os.DirFS(out), nil)
		return err
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range lines {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := work(i); err != nil {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); t.Failed() {
		t.FailNow()
	}
	return packages, &cas.ComposeOptions{Parts: parts}
}

// storedTree returns the form of each entry of a stored tree.
func storedTree(t *testing.T, s *cas.Store, root cid.CID) map[string]string {
	t.Helper()
	forms := map[string]string{}
	for e, err := range s.Entries(context.Background(), root) {
		if err != nil {
			t.Fatal(err)
		}
		switch e.Kind {
		case cas.Dir:
			forms[e.Path] = "folder"
		case cas.Symlink:
			forms[e.Path] = "link to " + leadsTo(e.Path, e.Target)
		case cas.File:
			forms[e.Path] = "file " + e.CID.String()
		}
	}
	return forms
}

// leadsTo returns the path below the root to which a link leads, with bin, lib and the like folded.
func leadsTo(at, target string) string {
	if !path.IsAbs(target) {
		target = path.Join("/", path.Dir(at), target)
	}
	target = strings.TrimPrefix(path.Clean(target), "/")
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		if strings.HasPrefix(target, dir+"/") {
			return "usr/" + target
		}
	}
	return target
}

// installedTree returns the form of each entry of an installed tree. A link through /etc/alternatives leads to the chosen file.
func installedTree(t *testing.T, root string) map[string]string {
	t.Helper()
	forms := map[string]string{"": "folder"}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		at, _ := filepath.Rel(root, file)
		if err != nil || at == "." {
			return err
		}
		switch {
		case d.IsDir():
			forms[at] = "folder"
			if slices.Contains([]string{"proc", "dev", "debs"}, at) {
				return fs.SkipDir
			}
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(file)
			if choice, ok := strings.CutPrefix(target, "/etc/alternatives/"); ok && err == nil {
				target, err = os.Readlink(filepath.Join(root, "etc/alternatives", choice))
			}
			forms[at] = "link to " + leadsTo(at, target)
			return err
		default:
			info, err := d.Info()
			if err != nil {
				return err
			}
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			b := cid.NewFile(info.Mode()&0o111 != 0)
			if _, err := io.Copy(b, f); err != nil {
				return err
			}
			c, _, _, _ := b.Finish()
			forms[at] = "file " + c.String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return forms
}

// explain compares differences with those of differences.txt: a sign, a pattern of path.Match or the beginning of paths that ends with **, or a part of
// them after **, and a reason. A sign + is only in our tree, - only in the installed one, ~ in both.
func explain(t *testing.T, differ []string, ours, theirs map[string]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/oracle/differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]int{}
	var rules []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			rules = append(rules, line)
		}
	}
	for _, d := range differ {
		known := slices.IndexFunc(rules, func(rule string) bool {
			f := strings.Fields(rule)
			if len(f) < 3 || f[0] != d[:1] {
				return false
			}
			begin, all := strings.CutSuffix(f[1], "**")
			inside, anywhere := strings.CutPrefix(f[1], "**")
			ok, err := path.Match(f[1], d[2:])
			return all && strings.HasPrefix(d[2:], begin) || anywhere && strings.Contains(d[2:], inside) || ok && err == nil
		})
		if known < 0 {
			t.Errorf("%s: %s, installed %s", d, ours[d[2:]], theirs[d[2:]])
			continue
		}
		used[rules[known]]++
	}
	for _, rule := range rules {
		if used[rule] == 0 {
			t.Errorf("no difference is %q", rule)
		}
		t.Logf("%5d %s", used[rule], rule)
	}
}

// trustedIn returns the certificates of a key store of Java, by alias.
func trustedIn(t *testing.T, b []byte) map[string]string {
	t.Helper()
	r := bytes.NewReader(b)
	number := func(v any) {
		if err := binary.Read(r, binary.BigEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	part := func(n int) []byte {
		p := make([]byte, n)
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	var head [3]uint32
	if number(&head); head[0] != 0xfeedfeed {
		t.Fatalf("a key store begins with %x", head[0])
	}
	all := map[string]string{}
	for range head[2] {
		var tag, length uint32
		var size uint16
		var date uint64
		number(&tag)
		number(&size)
		alias := string(part(int(size)))
		number(&date)
		number(&size)
		kind := string(part(int(size)))
		number(&length)
		all[alias] = fmt.Sprintf("%d %s %x", tag, kind, sha256.Sum256(part(int(length))))
	}
	return all
}

// BenchmarkComposePython composes the set "python" of testdata/oracle/packages.txt, base and python3 with pip: in a store that was just opened, then
// again and again. NUKA_DEBS names the folder of the packages; without it there is nothing to compose.
func BenchmarkComposePython(b *testing.B) {
	debs := os.Getenv("NUKA_DEBS")
	if debs == "" {
		b.Skip("NUKA_DEBS names no folder of packages")
	}
	dir := b.TempDir()
	s, err := cas.Open(dir, nil)
	if err != nil {
		b.Fatal(err)
	}
	packages, o := oraclePackages(b, s, debs, "python")
	first, least := time.Duration(0), time.Hour
	for n := 0; b.Loop(); n++ {
		if n == 0 {
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			if s, err = cas.Open(dir, nil); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		start := time.Now()
		_, tree, err := compose(b.Context(), s, pir.LayoutFHS1, packages, o)
		if err != nil {
			b.Fatal(err)
		}
		took := time.Since(start)
		if n == 0 {
			first = took
			b.Logf("%d packages, %d entries, %d bytes", len(packages), len(tree.Entries), tree.Size)
		}
		least = min(least, took)
	}
	b.ReportMetric(first.Seconds()*1000, "ms-first")
	b.ReportMetric(least.Seconds()*1000, "ms-least")
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
