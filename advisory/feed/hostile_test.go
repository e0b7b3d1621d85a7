package feed

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// TestOriginLies has origins that do not give what the head promises: the old number stays in use, whole, and nothing is left of the new one.
func TestOriginLies(t *testing.T) {
	other := newPublisher(t)
	other.publish(1, "6.6.6", nil, 0)
	for name, change := range map[string]func(name string, b []byte) ([]byte, error){
		"a shard is missing": func(name string, b []byte) ([]byte, error) { return b, missing(strings.HasSuffix(name, ".zst")) },
		"a shard is cut":     func(name string, b []byte) ([]byte, error) { return b[:len(b)-cutOf(name, ".zst")], nil },
		"a shard is longer": func(name string, b []byte) ([]byte, error) {
			return append(b, make([]byte, cutOf(name, ".zst"))...), nil
		},
		"the manifest is cut":  func(name string, b []byte) ([]byte, error) { return b[:len(b)-cutOf(name, ManifestFile)], nil },
		"the manifest is deep": func(name string, b []byte) ([]byte, error) { return deep(name, b), nil },
		"a file of 10 GiB": func(name string, b []byte) ([]byte, error) {
			return bytes.Replace(b, []byte(`"size":`), []byte(`"size":1073741824`), 1), nil
		},
		"a file outside": func(name string, b []byte) ([]byte, error) {
			return bytes.Replace(b, []byte(`"npm/`), []byte(`"../npm/`), 1), nil
		},
		"shards of another number": func(name string, b []byte) ([]byte, error) {
			if strings.HasSuffix(name, ".zst") || name == ManifestFile {
				return os.ReadFile(filepath.Join(other.dir, name))
			}
			return b, nil
		},
		"one shard of another number": func(name string, b []byte) ([]byte, error) {
			if strings.HasSuffix(name, ".zst") {
				return os.ReadFile(filepath.Join(other.dir, name))
			}
			return b, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, r := newPublisher(t), newReader(t)
			p.publish(1, "1.0.1", nil, 0)
			r.must(subscription(1, 0), p.origin())
			before := tree(t, r.path)
			p.publish(2, "1.0.2", nil, 0)
			from := p.origin()
			from.change = change
			if _, err := r.update(nil, from, now); err == nil {
				t.Error("the update succeeded")
			}
			if after := tree(t, r.path); r.fixed() != "1.0.1" || after != before {
				t.Errorf("%q; files before:\n%s\nafter:\n%s", r.fixed(), before, after)
			}
			r.must(nil, p.origin())
			if r.fixed() != "1.0.2" {
				t.Errorf("afterwards: %q", r.fixed())
			}
		})
	}
}

func missing(is bool) error {
	if is {
		return errors.New("it is not here")
	}
	return nil
}

func cutOf(name, end string) int {
	if strings.HasSuffix(name, end) {
		return 3
	}
	return 0
}

func deep(name string, b []byte) []byte {
	if name != ManifestFile {
		return b
	}
	return []byte("{broken: " + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000) + "}\n")
}

// tree lists the names of trees in a folder of feeds.
func tree(t *testing.T, path string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

// TestBomb has a shard that unpacks to more than it may.
func TestBomb(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := z.EncodeAll(make([]byte, 4*maxUnpacked), nil)
	if len(packed) > maxPacked {
		t.Fatalf("the bomb has %d bytes", len(packed))
	}
	if text, err := unpack("npm/00.zst", packed); err == nil {
		t.Errorf("%d bytes were unpacked", len(text))
	}
}

// TestCut ends updates at each of their steps: the old number or the new one is in use, whole, and the next update succeeds.
func TestCut(t *testing.T) {
	cut := errors.New("the power is cut")
	for n := range 10 {
		p, r := newPublisher(t), newReader(t)
		p.publish(1, "1.0.1", nil, 0)
		r.must(subscription(1, 0), p.origin())
		p.publish(2, "1.0.2", nil, 0)
		f := r.open()
		l, err := f.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		steps := 0
		f.Before = func(string) error {
			if steps++; steps > n {
				return cut
			}
			return nil
		}
		_, err = l.Update(t.Context(), r.feed(), p.origin(), now)
		l.Close()
		if got := r.fixed(); err != nil && got != "1.0.1" || err == nil && got != "1.0.2" {
			t.Errorf("after step %d: %q, %v", n, got, err)
		}
		r.must(nil, p.origin())
		if r.fixed() != "1.0.2" {
			t.Errorf("after step %d, again: %q", n, r.fixed())
		}
		if err == nil {
			if n < 4 {
				t.Errorf("an update has %d steps", n)
			}
			return
		}
	}
	t.Error("an update has more than 10 steps")
}

// TestDamagedShard changes a shard on the disk: it is said, and not taken for a feed without records.
func TestDamagedShard(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(1, "1.0.1", nil, 0)
	r.must(subscription(1, 0), p.origin())
	f := r.feed()
	at := filepath.Join(r.open().dir(f), filepath.FromSlash(shardOf("npm", "p7")))
	for _, text := range [][]byte{nil, []byte("x")} {
		if err := os.WriteFile(at, text, 0o644); err != nil {
			t.Fatal(err)
		}
		tree, err := r.open().Tree(f)
		if err != nil {
			t.Fatal(err)
		}
		_, err = tree.Lookup([]Key{{"npm", "p7"}})
		code(t, err, protocol.Damaged)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	tree, err := r.open().Tree(f)
	if err != nil {
		t.Fatal(err)
	}
	_, err = tree.Lookup([]Key{{"npm", "p7"}})
	code(t, err, protocol.Damaged)
}

// TestStatementForms has statements that say more than a statement may.
func TestStatementForms(t *testing.T) {
	const good = `{"id":"CVE-1","package":"zlib","versions":["1.0"],"status":"not_affected","why":"component_not_present"}`
	if _, err := ParseStatements([]byte("[" + good + "]")); err != nil {
		t.Error(err)
	}
	for name, change := range map[string][2]string{
		"about all records":       {`"CVE-1"`, `"*"`},
		"about all packages":      {`"zlib"`, `"*"`},
		"about all versions":      {`"versions":["1.0"],`, ``},
		"of another status":       {`not_affected`, `fine`},
		"without a justification": {`component_not_present`, `trust me`},
		"with an unknown field":   {`"id"`, `"all":true,"id"`},
		"with a flag of text":     {`"id"`, `"when":{"minizip":"no"},"id"`},
	} {
		if _, err := ParseStatements([]byte("[" + strings.Replace(good, change[0], change[1], 1) + "]")); err == nil {
			t.Errorf("a statement %s is accepted", name)
		}
	}
	if list, err := decodeStatements([]byte(`[` + good + `,{"id":"*"},` + good + `]`)); len(list) != 2 || err != nil {
		t.Errorf("of a feed: %v, %v", list, err)
	}
}

// TestManifestForms has manifests that name files outside of a tree, or more than a feed needs.
func TestManifestForms(t *testing.T) {
	for name, files := range map[string]map[string]File{
		"a file outside":     {"../x.zst": {1, hashOf(nil)}},
		"an absolute file":   {"/x.zst": {1, hashOf(nil)}},
		"another file":       {"npm/00.txt": {1, hashOf(nil)}},
		"a shard of 10 GiB":  {"npm/00.zst": {10 << 30, hashOf(nil)}},
		"a negative size":    {"npm/00.zst": {-1, hashOf(nil)}},
		"a shard of no hash": {"npm/00.zst": {1, ""}},
	} {
		m := &Manifest{Name: "mine", Files: files}
		text, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeManifest(text); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestFrozenTree keeps the form of a feed's tree: what was signed once has to be read later.
func TestFrozenTree(t *testing.T) {
	m := &Manifest{Name: "mine", Made: 1_790_000_000, Sources: []string{"a test"}, Records: map[string]int{"npm": 1, "Debian:12": 2},
		Files: map[string]File{"npm/3f.zst": {10, hashOf([]byte("x"))}, StatementsFile: {2, hashOf([]byte("[]"))}}, Broken: []Broken{{"X-1", "it is cut"}}}
	text, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	const name = "testdata/feed.nuon"
	if os.Getenv("NUKA_REWRITE") != "" {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	if _, err := decodeManifest(want); err != nil {
		t.Error(err)
	}
	if got := shardOf("PyPI", "requests"); got != "PyPI/cf.zst" {
		t.Errorf("shard %s", got)
	}
}

func FuzzManifest(f *testing.F) {
	text, err := os.ReadFile("testdata/feed.nuon")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeManifest(text)
		if err != nil {
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q becomes %q, %v", text, again, err)
		}
	})
}

func FuzzList(f *testing.F) {
	one := subscription(2, 0, 1, 2)
	one.see(Seen{Key: keyOf(0), Number: 3, Root: cid.Sum(cid.DagPB, []byte("x")), Revoked: true, Next: keyOf(3)})
	text, err := form.Encode([]Feed{*one, {Name: "local", From: "/x", Local: true}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := form.Decode(text)
		if err != nil {
			return
		}
		if again, err := form.Encode(list); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%q becomes %q, %v", text, again, err)
		}
	})
}

func FuzzStatements(f *testing.F) {
	f.Add([]byte(`[{"id":"CVE-1","package":"zlib","versions":["1.0"],"status":"fixed","when":{"minizip":false}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParseStatements(text)
		if err != nil {
			return
		}
		again, err := encodeStatements(list)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseStatements(again); err != nil || len(back) != len(list) {
			t.Errorf("%q becomes %q, %v", text, again, err)
		}
	})
}

// TestJumpBeside offers a head whose number jumps beside the next one: it is kept as evidence, and the next one counts. Otherwise one such head would end the feed.
func TestJumpBeside(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(1, "1.0.1", nil, 0)
	r.must(subscription(1, 0), p.origin())
	p.publish(1<<40, "1.0.9", nil, 0)
	jump, err := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	if err != nil {
		t.Fatal(err)
	}
	p.publish(2, "1.0.2", nil, 0)
	next, err := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	if err != nil {
		t.Fatal(err)
	}
	o := p.origin()
	o.change = func(name string, b []byte) ([]byte, error) {
		if name == HeadsFile {
			return append(append([]byte{}, jump...), next...), nil
		}
		return b, nil
	}
	r.must(nil, o)
	if f := r.feed(); f.Number != 2 || r.fixed() != "1.0.2" || len(f.Evidence) != 1 {
		t.Errorf("got number %d, %q, %d heads as evidence; want 2 and one", f.Number, r.fixed(), len(f.Evidence))
	}
}
