package set

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

var now = time.Unix(1_750_000_000, 0).UTC()

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func head(t testing.TB, seed byte, number int64, root cid.CID, change func(*protocol.SetHead)) *protocol.SetHead {
	h := &protocol.SetHead{Name: "theirs", Number: number, Root: root, Issued: now, Expires: now.Add(time.Hour)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(key(seed)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestAdvance(t *testing.T) {
	a, b := cid.Sum(cid.DagPB, []byte("a")), cid.Sum(cid.DagPB, []byte("b"))
	for name, c := range map[string]struct {
		h    *protocol.SetHead
		root cid.CID
		at   time.Duration
		news bool
		code protocol.Code
	}{
		"the same":            {head(t, 1, 3, a, nil), a, 0, false, ""},
		"the next":            {head(t, 1, 4, b, nil), b, 0, true, ""},
		"the next, same tree": {head(t, 1, 9, a, nil), a, 0, true, ""},
		"back":                {head(t, 1, 2, b, nil), b, 0, false, protocol.Differs},
		"back, same tree":     {head(t, 1, 2, a, nil), a, 0, false, protocol.Differs},
		"two of a number":     {head(t, 1, 3, b, nil), b, 0, false, protocol.Differs},
		"another signer":      {head(t, 2, 4, b, nil), b, 0, false, protocol.Denied},
		"another set":         {head(t, 1, 4, b, func(h *protocol.SetHead) { h.Name = "other" }), b, 0, false, protocol.Denied},
		"expired":             {head(t, 1, 4, b, nil), b, time.Hour, false, protocol.Unavailable},
		"from the future":     {head(t, 1, 4, b, nil), b, -25 * time.Hour, false, protocol.Unavailable},
		"another tree":        {head(t, 1, 4, b, nil), a, 0, false, protocol.Mismatch},
	} {
		s := Set{Name: "s", Signer: protocol.KeyOf(key(1)), Title: "theirs", Number: 3, Expires: now.Add(time.Minute), Root: a}
		before := s
		news, err := s.Advance(c.h, c.root, now.Add(c.at))
		if got := protocol.CodeOf(err); got != c.code || news != c.news {
			t.Errorf("%s: got %t, %v; want %t, %q", name, news, err, c.news, c.code)
		}
		switch {
		case name == "from the future" && !strings.Contains(err.Error(), "in the future"):
			t.Errorf("%s: got %v", name, err)
		case err != nil && protocol.AsError(err).Hint == "":
			t.Errorf("%s: the error has no hint", name)
		case err != nil && s != before:
			t.Errorf("%s: a refused head changed the set", name)
		case err == nil && s.Number != c.h.Number:
			t.Errorf("%s: got number %d", name, s.Number)
		}
	}
}

func TestReadHead(t *testing.T) {
	good, err := EncodeHead(head(t, 1, 1, cid.Sum(cid.DagPB, nil), nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text []byte
		code protocol.Code
	}{
		"good": {good, ""}, "line end of Windows": {append(good[:len(good)-1:len(good)-1], "\r\n"...), ""}, "no line end": {good[:len(good)-1], ""},
		"cut": {good[:len(good)/2], protocol.Damaged}, "empty": {nil, protocol.Damaged}, "two": {append(bytes.Clone(good), good...), protocol.Damaged},
		"large": {bytes.Repeat([]byte(" "), 1<<20), protocol.Damaged}, "another bit": {bytes.Replace(good, []byte(`"number":1`), []byte(`"number":2`), 1), protocol.Damaged},
	} {
		_, err := ReadHead(fstest.MapFS{HeadFile: {Data: c.text}})
		if got := protocol.CodeOf(err); got != c.code {
			t.Errorf("%s: got %v, want %q", name, err, c.code)
		}
	}
	if _, err := ReadHead(fstest.MapFS{}); protocol.CodeOf(err) != protocol.NotFound {
		t.Errorf("without a head: got %v", err)
	}
	if _, err := ReadHead(fstest.MapFS{HeadFile + "/x": {}}); protocol.CodeOf(err) != protocol.Damaged {
		t.Errorf("a folder as head: got %v", err)
	}
}

// tree writes files; a text that begins with "->" is a link.
func tree(t testing.TB, files map[string]string) fs.FS {
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(text, "->"); link {
			err = os.Symlink(target, at)
		} else {
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root.FS()
}

func TestHash(t *testing.T) {
	of := func(files map[string]string) cid.CID {
		id, err := Hash(t.Context(), tree(t, files))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	plain := of(map[string]string{"a.nu": "1", "app/b.nu": "2"})
	if got := of(map[string]string{"a.nu": "1", "app/b.nu": "2", HeadFile: "x", ".git/config": "y", "app/.git": "z"}); got != plain {
		t.Errorf("the head or git's data changed the CID: got %s, want %s", got, plain)
	}
	for _, other := range []map[string]string{{"a.nu": "1", "app/b.nu": "3"}, {"a.nu": "1", "app/b.nu": "2", "app/" + HeadFile: "x"}} {
		if of(other) == plain {
			t.Errorf("%v has the same CID", other)
		}
	}
}

func TestCheck(t *testing.T) {
	deep := strings.Repeat("d/", MaxDepth+2) + "x.nu"
	for name, c := range map[string]struct {
		files map[string]string
		code  protocol.Code
	}{
		"good":                {map[string]string{"a.nu": "", "b.nu": "->a.nu", "app/c.nu": "->../a.nu", "d": "->app"}, ""},
		"out":                 {map[string]string{"a.nu": "->../../etc/passwd"}, protocol.Invalid},
		"absolute":            {map[string]string{"a.nu": "->/etc/passwd"}, protocol.Invalid},
		"loop":                {map[string]string{"a.nu": "->b.nu", "b.nu": "->a.nu"}, protocol.Invalid},
		"itself":              {map[string]string{"a.nu": "->a.nu"}, protocol.Invalid},
		"nowhere":             {map[string]string{"a.nu": "->b.nu"}, protocol.Invalid},
		"case":                {map[string]string{"a.nu": "", "A.nu": ""}, protocol.Invalid},
		"case of a folder":    {map[string]string{"app/a.nu": "", "App/b.nu": ""}, protocol.Invalid},
		"case of other signs": {map[string]string{"ǆ.nu": "", "ǅ.nu": ""}, protocol.Invalid},
		"long":                {map[string]string{strings.Repeat("x", 252) + ".nu": ""}, protocol.Invalid},
		"deep":                {map[string]string{deep: ""}, protocol.Invalid},
		"control":             {map[string]string{"a\x1b[2J.nu": ""}, protocol.Invalid},
		"not UTF-8":           {map[string]string{"a\xff.nu": ""}, protocol.Invalid},
		"a point at the end":  {map[string]string{"a.nu.": ""}, protocol.Invalid},
	} {
		err := Check(tree(t, c.files))
		if got := protocol.CodeOf(err); got != c.code {
			t.Errorf("%s: got %v, want %q", name, err, c.code)
		}
	}
	many := fstest.MapFS{}
	for i := range MaxEntries + 1 {
		many[fmt.Sprintf("p%d.nu", i)] = &fstest.MapFile{}
	}
	if err := Check(many); protocol.CodeOf(err) != protocol.Exhausted || !strings.Contains(protocol.AsError(err).Hint, "right folder") {
		t.Errorf("%d files: got %v", len(many), err)
	}
}

func TestList(t *testing.T) {
	root := cid.Sum(cid.DagPB, nil)
	want := []Set{
		{Name: "mine", From: "/x/packages", Root: root, Updated: now},
		{Name: "theirs", From: "git+https://example.org/x#v1", Root: root, Updated: now, Pinned: true, Signer: protocol.KeyOf(key(1)), Title: "x", Number: 3, Expires: now},
	}
	text, err := form.Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := form.Decode(text)
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
	for name, change := range map[string]func(*Set){
		"the name of the embedded set": func(s *Set) { s.Name = Embedded }, "a path as name": func(s *Set) { s.Name = "../x" }, "no origin": func(s *Set) { s.From = "" },
		"no tree": func(s *Set) { s.Root = cid.CID{} }, "a number without signer": func(s *Set) { s.Number = 1 }, "a signer without head": func(s *Set) { s.Signer = protocol.KeyOf(key(1)) },
	} {
		s := want[0]
		change(&s)
		if _, err := form.Encode([]Set{s}); err == nil {
			t.Errorf("%s is written", name)
		}
	}
	if _, err := form.Encode([]Set{want[0], want[0]}); err == nil {
		t.Error("two sets of a name are written")
	}
	for _, text := range []string{"", "{}\n", "{sets: 1, list: []}", string(text[:len(text)-1]),
		strings.Replace(string(text), `{"list"`, `{"also":1,"list"`, 1), strings.Replace(string(text), `"number":3`, `"number":3,"more":1`, 1), strings.Replace(string(text), "mine", "../x", 1), string(text) + "x"} {
		if _, err := form.Decode([]byte(text)); err == nil {
			t.Errorf("%.60q is read", text)
		}
	}
	if _, err := form.Decode([]byte(`{"list":[],"sets":2}` + "\n")); protocol.CodeOf(err) != protocol.Unsupported {
		t.Errorf("another form: got %v", err)
	}
}

func FuzzList(f *testing.F) {
	text, _ := form.Encode([]Set{{Name: "mine", From: "/x", Root: cid.Sum(cid.DagPB, nil), Updated: now}})
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := form.Decode(b)
		if err != nil {
			return
		}
		if again, err := form.Encode(list); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q is written as %q, %v", b, again, err)
		}
	})
}

var errStop = errors.New("stopped by the test")

// TestPutCrash stops a change after each step: the set has the old or the new tree, whole, and the next change works.
func TestPutCrash(t *testing.T) {
	files := []fs.FS{tree(t, map[string]string{"a.nu": "old"}), tree(t, map[string]string{"a.nu": "new", "app/b.nu": "b"})}
	var roots []cid.CID
	for _, f := range files {
		root, err := Hash(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	index, err := BuildIndex([]Entry{{Name: "a", Path: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	stops := 0
	for stop := 0; ; stop++ {
		folder := openFolder(t)
		put := func(i int) error {
			l, err := folder.Lock(t.Context())
			if err != nil {
				return err
			}
			defer l.Close()
			return l.Put(t.Context(), &Set{Name: "s", From: "/x", Root: roots[i], Updated: now}, files[i], index, false)
		}
		if err := put(0); err != nil {
			t.Fatal(err)
		}
		n := 0
		folder.Before = func(string) error {
			if n++; n > stop {
				return errStop
			}
			return nil
		}
		err := put(1)
		folder.Before = nil
		if err == nil {
			break
		}
		stops++
		list, err := folder.List()
		if err != nil || len(list) != 1 || list[0].Root != roots[0] {
			t.Fatalf("stop %d: got %v, %v", stop, list, err)
		}
		if text, err := os.ReadFile(filepath.Join(folder.Tree(&list[0]), "a.nu")); err != nil || string(text) != "old" {
			t.Errorf("stop %d: got %q, %v", stop, text, err)
		}
		if err := put(1); err != nil {
			t.Errorf("stop %d: the next change: %v", stop, err)
		}
		if found, _ := filepath.Glob(filepath.Join(folder.Path(), "s", "*")); len(found) != 2 {
			t.Errorf("stop %d: got %v, want a tree and its index", stop, found)
		}
	}
	if stops != 5 {
		t.Errorf("the change stopped %d times, want one for each step", stops)
	}
}

// TestPutChanged checks that a tree that changes after it was hashed does not come into use.
func TestPutChanged(t *testing.T) {
	folder := openFolder(t)
	l, err := folder.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = l.Put(t.Context(), &Set{Name: "s", From: "/x", Root: cid.Sum(cid.DagPB, []byte("another")), Updated: now}, tree(t, map[string]string{"a.nu": "1"}), nil, false)
	if protocol.CodeOf(err) != protocol.Mismatch {
		t.Errorf("got %v", err)
	}
	if list, err := l.List(); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
}

func openFolder(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "sets"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
