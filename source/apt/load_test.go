package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/apt/apttest"
)

const packagesXZ = "main/binary-amd64/Packages.xz"

// fixture is an archive with one suite, and a loader that reads it.
type fixture struct {
	*apttest.Archive
	t      *testing.T
	key    *apttest.Key
	suite  apttest.Suite
	loader *Loader
	wanted []Suite
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{Archive: &apttest.Archive{}, t: t, key: apttest.NewKey(t, testTime.Add(-time.Hour), 0)}
	f.suite = apttest.Suite{
		Codename: "trixie", Date: testTime,
		Packages: map[string]string{"amd64": apttest.Stanza("aa", "1", "Depends: bb") + apttest.Stanza("bb", "1") + apttest.Stanza("libcc1", "1")},
		Contents: map[string]string{"amd64": "usr/lib/libcc.so.1 libs/libcc1\n"},
	}
	f.Put(t, f.suite, f.key)
	dir := t.TempDir()
	f.loader = &Loader{Getter: f.Archive, Cache: filepath.Join(dir, "cache"), Dates: filepath.Join(dir, "dates"), Now: func() time.Time { return testTime.Add(time.Hour) }}
	f.wanted = []Suite{{"trixie", []Archive{{"http://archive/debian", keyring(t, f.key)}}}}
	return f
}

// sign signs the suite's Release anew, with further changes to its text.
func (f *fixture) sign(before, after string) {
	f.t.Helper()
	text, _ := f.suite.Release()
	f.Set("dists/trixie/InRelease", apttest.Sign(f.t, strings.Replace(text, before, after, 1), testTime, 0, f.key))
}

func (f *fixture) open() (*Index, error) {
	return f.loader.Open(f.t.Context(), f.wanted, []string{"main"}, "amd64")
}

func TestLoad(t *testing.T) {
	f := newFixture(t)
	x, err := f.open()
	if err != nil || x.Len() != 3 || !x.Suites[0].Date.Equal(testTime) {
		t.Fatal(x, err)
	}
	if diff := cmp.Diff([]string{"dists/trixie/InRelease", "dists/trixie/" + packagesXZ}, f.Got()); diff != "" {
		t.Error(diff)
	}
	if x, err := f.open(); err != nil || x.Len() != 3 {
		t.Fatal(x, err)
	}
	if diff := cmp.Diff([]string{"dists/trixie/InRelease"}, f.Got()); diff != "" {
		t.Error("the second time:", diff)
	}
	f.loader.Getter = nil
	if x, err := f.open(); err != nil || x.Len() != 3 {
		t.Fatal("offline:", x, err)
	}
	list, err := os.ReadDir(f.loader.Cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".gz") { // a power cut left it empty
			if err := os.Truncate(filepath.Join(f.loader.Cache, e.Name()), 20); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = f.open()
	wantCode(t, err, protocol.Offline)
	f.loader.Getter = f.Archive
	if x, err := f.open(); err != nil || x.Len() != 3 {
		t.Fatal("a torn cache:", x, err)
	}
	f.loader.Cache, f.loader.Getter = filepath.Join(t.TempDir(), "none"), nil
	_, err = f.open()
	wantCode(t, err, protocol.Offline)
}

func TestByHash(t *testing.T) {
	f := newFixture(t)
	f.sign("SHA256:", "Acquire-By-Hash: yes\nSHA256:")
	if _, err := f.open(); err != nil { // the archive has no file under its hash
		t.Fatal(err)
	}
	if got := f.Got(); len(got) != 3 || !strings.HasPrefix(got[1], "dists/trixie/main/binary-amd64/by-hash/SHA256/") {
		t.Errorf("got %v", got)
	} else {
		f.Set(got[1], apttest.Gzip(f.suite.Packages["amd64"]))
	}
	f.Set("dists/trixie/"+packagesXZ, []byte("of the next update"))
	f.loader.Cache = ""
	if _, err := f.open(); err != nil {
		t.Error(err)
	}
}

// TestHostileIndex has archives that answer with something else than was signed, or was signed before.
func TestHostileIndex(t *testing.T) {
	bomb, err := os.ReadFile("testdata/bomb.xz") // 16 MiB of line ends
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(f *fixture)
		want   protocol.Code
	}{
		"no InRelease":     {func(f *fixture) { f.Set("dists/trixie/InRelease", nil) }, protocol.NotFound},
		"no packages file": {func(f *fixture) { f.Set("dists/trixie/"+packagesXZ, nil) }, protocol.NotFound},
		"an unsigned file": {func(f *fixture) { f.Set("dists/trixie/InRelease", []byte("Codename: trixie\n")) }, protocol.Denied},
		"an unknown key":   {func(f *fixture) { f.Put(f.t, f.suite, apttest.NewKey(f.t, testTime.Add(-time.Hour), 0)) }, protocol.Denied},
		"another suite":    {func(f *fixture) { f.sign("Codename: trixie", "Codename: sid") }, protocol.Denied},
		"other packages":   {func(f *fixture) { f.Set("dists/trixie/"+packagesXZ, apttest.Gzip("Package: evil\n")) }, protocol.Mismatch},
		"other packages, as long": {func(f *fixture) {
			body := apttest.Gzip(f.suite.Packages["amd64"])
			body[9] ^= 1
			f.Set("dists/trixie/"+packagesXZ, body)
		}, protocol.Mismatch},
		"a longer file":        {func(f *fixture) { f.Set("dists/trixie/"+packagesXZ, make([]byte, 1<<20)) }, protocol.Exhausted},
		"a huge signed file":   {func(f *fixture) { f.signSize(1 << 40) }, protocol.Exhausted},
		"expired":              {func(f *fixture) { f.suite.Valid = time.Minute; f.Put(f.t, f.suite, f.key) }, protocol.Unavailable},
		"from the future":      {func(f *fixture) { f.suite.Date = testTime.AddDate(0, 0, 3); f.putNow() }, protocol.Unavailable},
		"truncated":            {func(f *fixture) { f.putPacked(bomb[:len(bomb)/2], 1<<30) }, protocol.Invalid},
		"a decompression bomb": {func(f *fixture) { f.putPacked(bomb, 1000) }, protocol.Exhausted},
		"no compression":       {func(f *fixture) { f.putPacked([]byte("Package: aa\n"), 1000) }, protocol.Invalid},
	} {
		f := newFixture(t)
		c.change(f)
		x, err := f.open()
		if err == nil {
			t.Errorf("%s: accepted, with %d packages", name, x.Len())
			continue
		}
		if got := protocol.CodeOf(err); got != c.want {
			t.Errorf("%s: got %v (%s), want the code %s", name, err, got, c.want)
		}
	}
}

// putNow puts the suite, signed at a time that the loader accepts.
func (f *fixture) putNow() {
	text, _ := f.suite.Release()
	f.Set("dists/trixie/InRelease", apttest.Sign(f.t, text, testTime, 0, f.key))
}

// signSize signs a packages file of another size.
func (f *fixture) signSize(size int) {
	text, files := f.suite.Release()
	from := " " + strconv.Itoa(len(files[packagesXZ])) + " " + packagesXZ
	f.Set("dists/trixie/InRelease", apttest.Sign(f.t, strings.Replace(text, from, " "+strconv.Itoa(size)+" "+packagesXZ, 1), testTime, 0, f.key))
}

// putPacked signs a packages file of other bytes, whose plain size is said to be plain.
func (f *fixture) putPacked(packed []byte, plain int) {
	text, _ := f.suite.Release()
	head, _, _ := strings.Cut(text, "SHA256:\n")
	sum := Digest(sha256.Sum256(packed)).String()
	text = head + "SHA256:\n " + sum + " " + strconv.Itoa(len(packed)) + " " + packagesXZ + "\n " + sum + " " + strconv.Itoa(plain) + " " + strings.TrimSuffix(packagesXZ, ".xz") + "\n"
	f.Set("dists/trixie/"+packagesXZ, packed)
	f.Set("dists/trixie/InRelease", apttest.Sign(f.t, text, testTime, 0, f.key))
}

// TestDowngrade serves an index that is older than the one before, from the same archive and from another one.
func TestDowngrade(t *testing.T) {
	f := newFixture(t)
	older := f.suite
	older.Date = testTime.Add(-time.Minute)
	behind := &apttest.Archive{}
	behind.Put(t, older, f.key)
	if _, err := f.open(); err != nil {
		t.Fatal(err)
	}
	f.Put(t, older, f.key)
	_, err := f.open()
	wantCode(t, err, protocol.Differs)
	f.Put(t, f.suite, f.key)
	if _, err := f.open(); err != nil {
		t.Error("the same again:", err)
	}
	if err := os.WriteFile(f.loader.Dates, []byte("trixie\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = f.open()
	wantCode(t, err, protocol.Damaged)
	if err := os.Remove(f.loader.Dates); err != nil {
		t.Fatal(err)
	}
	// Without that file the lock file knows the date.
	f.Put(t, older, f.key)
	r, err := f.loader.Release(t.Context(), f.wanted[0])
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, r.NotOlder(testTime), protocol.Differs)
}

// TestContentsOfBefore has an archive whose contents file is that of the release before: it counts only if that release is signed.
func TestContentsOfBefore(t *testing.T) {
	f := newFixture(t)
	sonames := func(have *Sonames) (*Sonames, error) {
		r, err := f.loader.Release(t.Context(), f.wanted[0])
		if err != nil {
			return nil, err
		}
		x, err := f.loader.Index(t.Context(), []*Signed{r}, []string{"main"}, "amd64")
		if err != nil {
			return nil, err
		}
		return f.loader.Sonames(t.Context(), []*Signed{r}, []string{"main"}, x, nil, have)
	}
	s, err := sonames(nil)
	if err != nil || s.Len() != 1 || !s.From[0].Date.Equal(testTime) {
		t.Fatal(s, err)
	}
	if again, err := sonames(s); err != nil || again != s {
		t.Errorf("the same files: %v, %v", again, err)
	}
	before := f.suite
	before.Date = testTime.AddDate(0, -2, 0)
	before.Contents = map[string]string{"amd64": "usr/lib/libcc.so.1 libs/libcc1\nusr/lib/libcc.so.0 libs/libcc1\n"}
	text, files := before.Release()
	const name = "main/Contents-amd64.gz"
	f.Set("dists/trixie/"+name, files[name])
	_, err = sonames(nil)
	wantCode(t, err, protocol.Exhausted) // it is longer than the signed one
	f.Set("dists/stable/"+name, files[name])
	f.Set("dists/stable/InRelease", apttest.Sign(t, text, testTime, 0, f.key))
	if s, err := sonames(nil); err != nil || s.Len() != 2 || !s.From[0].Date.Equal(before.Date) {
		t.Errorf("signed before: %v, %v", s, err)
	}
	for what, message := range map[string][]byte{
		"another suite":  apttest.Sign(t, strings.Replace(text, "Codename: trixie", "Codename: bookworm", 1), testTime, 0, f.key),
		"an unknown key": apttest.Sign(t, text, testTime, 0, apttest.NewKey(t, testTime.Add(-time.Hour), 0)),
		"nothing":        nil,
	} {
		f.Set("dists/stable/InRelease", message)
		if s, err := sonames(nil); err == nil {
			t.Errorf("signed by %s: got %v", what, s)
		}
	}
}

func TestPins(t *testing.T) {
	f := newFixture(t)
	lock := &Lock{Arch: "amd64", Packages: []Pin{{Name: "bb", Version: "1"}}}
	pins := func(fresh bool, names ...string) string {
		t.Helper()
		got, err := f.loader.Pins(t.Context(), f.wanted, []string{"main"}, lock, names, fresh)
		if err != nil {
			return string(protocol.CodeOf(err))
		}
		return strings.Join(slices.Collect(func(yield func(string) bool) {
			for _, p := range got {
				if !yield(p.Name + "=" + p.Version) {
					return
				}
			}
		}), " ")
	}
	if got := pins(false, "bb"); got != "" || len(f.Got()) != 0 {
		t.Errorf("a locked name: got %s", got)
	}
	if got := pins(false, "aa", "bb"); got != "aa=1" || len(f.Got()) != 2 {
		t.Errorf("got %s", got)
	}
	f.suite.Date = testTime.Add(time.Minute)
	f.suite.Packages["amd64"] = strings.ReplaceAll(f.suite.Packages["amd64"], "Version: 1", "Version: 2") + apttest.Stanza("new", "1")
	f.Put(t, f.suite, f.key)
	if got := pins(false, "aa"); got != "aa=1" || len(f.Got()) != 0 {
		t.Errorf("from the cache: got %s", got)
	}
	if got := pins(false, "new"); got != "new=1" || len(f.Got()) != 2 {
		t.Errorf("what the cache lacks: got %s", got)
	}
	if got := pins(true, "aa"); got != "aa=2" {
		t.Errorf("fresh: got %s", got)
	}
	if got := pins(false, "nope"); got != string(protocol.NotFound) {
		t.Errorf("an unknown name: got %s", got)
	}
	f.loader.Getter = nil
	if got := pins(true, "aa"); got != "aa=2" {
		t.Errorf("offline: got %s", got)
	}
}

// badGetter fails with an error of its own.
type badGetter struct{}

var errBad = errors.New("no network")

func (badGetter) Get(context.Context, string, int64) ([]byte, error) { return nil, errBad }

// TestArchives tries one archive after the other.
func TestArchives(t *testing.T) {
	f := newFixture(t)
	good := f.wanted[0].Archives[0]
	f.wanted[0].Archives = []Archive{{good.Base, keyring(t, apttest.NewKey(t, testTime, 0))}, good}
	if _, err := f.open(); err != nil {
		t.Error(err)
	}
	f.wanted[0].Archives = nil
	_, err := f.open()
	wantCode(t, err, protocol.Unavailable)
	f = newFixture(t)
	f.loader.Getter = badGetter{}
	if _, err := f.open(); !errors.Is(err, errBad) {
		t.Errorf("got %v", err)
	}
}

func FuzzInRelease(f *testing.F) {
	text, _ := (&apttest.Suite{Codename: "trixie", Date: testTime, Packages: map[string]string{"amd64": "Package: aa\n"}}).Release()
	key := apttest.NewKey(f, testTime.Add(-time.Hour), 0)
	ring := keyring(f, key)
	f.Add(apttest.Sign(f, text, testTime, 0, key), text)
	f.Add([]byte(clearBegin+"\n\n"+clearMiddle+"\n\n"+clearEnd), "SHA256:\n")
	f.Fuzz(func(t *testing.T, message []byte, text string) {
		if got, err := ring.Verify(message, testTime); err == nil && !bytes.Contains(message, []byte(clearBegin)) {
			t.Errorf("accepted %q", got)
		}
		if r, err := ParseRelease([]byte(text)); err == nil && (r.Codename == "" || len(r.Files) == 0) {
			t.Errorf("accepted %+v", r)
		}
	})
}

func FuzzPackages(f *testing.F) {
	f.Add([]byte(apttest.Stanza("aa", "1", "Depends: bb | cc (>= 1)", "Provides: xx (= 1)") + apttest.Stanza("bb", "1")))
	f.Fuzz(func(t *testing.T, text []byte) {
		x := NewIndex("amd64")
		if x.Read("trixie", bytes.NewReader(text)) != nil {
			return
		}
		for name := range x.packages {
			l, err := (&Request{Roots: map[string][]string{"all": {name}}}).Lock(x)
			if err != nil {
				continue
			}
			l.Suites = []SuiteDate{{"trixie", testTime}}
			again, err := DecodeLock(l.Encode())
			if err != nil {
				t.Fatalf("%s: %v", l.Encode(), err)
			}
			if diff := cmp.Diff(l.Encode(), again.Encode()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func FuzzLock(f *testing.F) {
	good := string(testLock(f).Encode())
	_, _, _ = strings.Cut(good, "\n")
	f.Add(strings.SplitN(good, "\n", 3)[2])
	f.Fuzz(func(t *testing.T, body string) {
		file := resum(lockHead + "amd64" + lockTail + "\n\n" + body)
		l, err := DecodeLock([]byte(file))
		if err != nil {
			return
		}
		if string(l.Encode()) != file {
			t.Errorf("got %q, want %q", l.Encode(), file)
		}
		for _, p := range l.Packages {
			if _, err := l.Closure([]string{p.Name}); err != nil {
				t.Error(err)
			}
		}
	})
}
