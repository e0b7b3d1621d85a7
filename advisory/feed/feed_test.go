package feed

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

var now = time.Unix(1_790_000_000, 0).UTC()

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+n)), ed25519.SeedSize)))
}

func keyOf(n byte) protocol.Key { return protocol.KeyOf(key(n)) }

// record returns a record about one npm package.
func record(id, name, fixed string) *osv.Record {
	r, err := osv.Parse(fmt.Appendf(nil, `{"id":%q,"affected":[{"package":{"ecosystem":"npm","name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":%q}]}]}]}`, id, name, fixed))
	if err != nil {
		panic(err)
	}
	return r
}

// A publisher makes the states of a feed.
type publisher struct {
	t   testing.TB
	dir string
}

func newPublisher(t testing.TB) *publisher { return &publisher{t, t.TempDir()} }

// publish writes a state of many records, of which one has a given fixed version, and signs it.
func (p *publisher) publish(number int64, fixed string, sign func(h *protocol.FeedHead), keys ...byte) {
	p.t.Helper()
	var b Builder
	for i := range 500 {
		version := "1.0.0"
		if i == 7 {
			version = fixed
		}
		if err := b.Add(record(fmt.Sprintf("X-%d", i), fmt.Sprintf("p%d", i), version)); err != nil {
			p.t.Fatal(err)
		}
	}
	old, _ := OpenTree(os.DirFS(p.dir))
	if err := b.Write(p.dir, &Manifest{Name: "mine"}, old); err != nil {
		p.t.Fatal(err)
	}
	p.sign(number, sign, keys...)
}

// sign writes heads of the tree as it is.
func (p *publisher) sign(number int64, change func(h *protocol.FeedHead), keys ...byte) {
	p.t.Helper()
	root, err := HashTree(p.t.Context(), os.DirFS(p.dir))
	if err != nil {
		p.t.Fatal(err)
	}
	var heads []*protocol.FeedHead
	for _, k := range keys {
		h := headOf(p.t, k, number, root, change)
		heads = append(heads, h)
	}
	text, err := EncodeHeads(heads)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, HeadsFile), text, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func headOf(t testing.TB, k byte, number int64, root cid.CID, change func(h *protocol.FeedHead)) *protocol.FeedHead {
	t.Helper()
	h := &protocol.FeedHead{Name: "mine", Number: number, Root: root, Issued: now, Expires: now.Add(7 * 24 * time.Hour)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(key(k)); err != nil {
		t.Fatal(err)
	}
	return h
}

// counting is an Origin that counts, and may change what it gives.
type counting struct {
	Dir
	gets   int
	bytes  int64
	change func(name string, b []byte) ([]byte, error)
}

func (c *counting) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	c.gets++
	b, err := c.Dir.Get(ctx, name, most)
	if err == nil && c.change != nil {
		b, err = c.change(name, b)
	}
	c.bytes += int64(len(b))
	return b, err
}

func (p *publisher) origin() *counting { return &counting{Dir: Dir{os.DirFS(p.dir)}} }

// A reader follows a feed in a folder of its own.
type reader struct {
	t    testing.TB
	path string
}

func newReader(t testing.TB) *reader { return &reader{t, filepath.Join(t.TempDir(), "advisories")} }

func (r *reader) open() *Folder {
	r.t.Helper()
	f, err := Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r *reader) feed() *Feed {
	r.t.Helper()
	list, err := r.open().List()
	if err != nil || len(list) != 1 {
		r.t.Fatalf("%d feeds, %v", len(list), err)
	}
	return &list[0]
}

// update updates the feed, which is new if it is given.
func (r *reader) update(s *Feed, from Origin, at time.Time) (*Updated, error) {
	r.t.Helper()
	if s == nil {
		s = r.feed()
	}
	l, err := r.open().Lock(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	return l.Update(r.t.Context(), s, from, at)
}

func (r *reader) must(s *Feed, from Origin) *Updated {
	r.t.Helper()
	u, err := r.update(s, from, now)
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

// fixed returns the fixed version of the one package that changes.
func (r *reader) fixed() string {
	r.t.Helper()
	tree, err := r.open().Tree(r.feed())
	if err != nil {
		r.t.Fatal(err)
	}
	found, err := tree.Lookup([]Key{{"npm", "p7"}, {"npm", "absent"}})
	if err != nil || len(found) != 1 || len(found[Key{"npm", "p7"}]) != 1 {
		r.t.Fatalf("%v, %v", found, err)
	}
	return found[Key{"npm", "p7"}][0].Evaluate("0.1.0").Fixed
}

func subscription(need int, keys ...byte) *Feed {
	f := &Feed{Name: "mine", From: "/feed", Need: need}
	for _, k := range keys {
		f.Keys = append(f.Keys, keyOf(k))
	}
	return f
}

func code(t *testing.T, err error, want protocol.Code) {
	t.Helper()
	if got := protocol.CodeOf(err); got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// TestFeedLife follows a feed from number 1 to 2: only the shard that changed travels, and nothing new is one request.
func TestFeedLife(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(1, "1.0.0", nil, 0)
	first := p.origin()
	got := r.must(subscription(1, 0), first)
	if !got.News || got.Got != got.Files || got.Files < 150 || got.Bytes != first.bytes {
		t.Errorf("first: %+v, %d bytes", got, first.bytes)
	}
	same := p.origin()
	got = r.must(nil, same)
	if got.News || same.gets != 1 || same.bytes > 4<<10 {
		t.Errorf("nothing new: %+v, %d requests, %d bytes", got, same.gets, same.bytes)
	}
	p.publish(2, "1.0.1", nil, 0)
	second := p.origin()
	got = r.must(nil, second)
	if !got.News || got.Number != 2 || got.Got != 2 || second.gets != 3 || r.fixed() != "1.0.1" { // heads, manifest, one shard
		t.Errorf("second: %+v, %d requests", got, second.gets)
	}
	if f := r.feed(); f.Number != 2 || f.Title != "mine" || f.Age(now) != Fresh || f.Age(now.Add(8*24*time.Hour)) != Stale || f.Age(now.Add(-48*time.Hour)) != Early {
		t.Errorf("%+v", f)
	}
}

// TestAdvanceRefuses has TUF's attacks on the heads of a feed: each is refused with its code, what contradicts is kept, and what was in use stays.
func TestAdvanceRefuses(t *testing.T) {
	day := 24 * time.Hour
	for _, c := range []struct {
		name     string
		publish  func(p *publisher)
		want     protocol.Code
		evidence bool
		says     string
	}{
		{"rollback", func(p *publisher) { p.publish(4, "9.9.9", nil, 0) }, protocol.Differs, true, "goes back, from number 5 to 4"},
		{"same number, other tree", func(p *publisher) { p.publish(5, "9.9.9", nil, 0) }, protocol.Differs, true, "two heads of number 5"},
		{"fast forward", func(p *publisher) { p.publish(1<<62, "9.9.9", nil, 0) }, protocol.Differs, true, "jumps"},
		{"fast forward by one too many", func(p *publisher) { p.publish(5+protocol.MaxFeedStep+1, "9.9.9", nil, 0) }, protocol.Differs, true, "jumps"},
		{"freeze", func(p *publisher) {
			p.publish(6, "9.9.9", func(h *protocol.FeedHead) { h.Issued, h.Expires = now.Add(-30*day), now.Add(-23*day) }, 0)
		}, protocol.Unavailable, false, "expired"},
		{"from the future", func(p *publisher) {
			p.publish(6, "9.9.9", func(h *protocol.FeedHead) { h.Issued, h.Expires = now.Add(25*time.Hour), now.Add(2*day) }, 0)
		}, protocol.Unavailable, false, "in the future"},
		{"wrong key", func(p *publisher) { p.publish(6, "9.9.9", nil, 1) }, protocol.Denied, false, "heads of other keys"},
		{"another feed of the key", func(p *publisher) { p.publish(6, "9.9.9", func(h *protocol.FeedHead) { h.Name = "other" }, 0) }, protocol.Denied, false, `the feed "other"`},
		{"no heads", func(p *publisher) { p.write(HeadsFile, "") }, protocol.Denied, false, "no head"},
		{"garbage", func(p *publisher) { p.write(HeadsFile, "{feed: 1}\n") }, protocol.Damaged, false, HeadsFile},
		{"tree of another head", func(p *publisher) { p.publish(6, "9.9.9", nil, 0); p.republish("8.8.8") }, protocol.Mismatch, false, "its head is of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, r := newPublisher(t), newReader(t)
			p.publish(5, "1.0.5", nil, 0)
			r.must(subscription(1, 0), p.origin())
			c.publish(p)
			_, err := r.update(nil, p.origin(), now)
			code(t, err, c.want)
			if err != nil && !strings.Contains(err.Error()+protocol.AsError(err).Hint, c.says) {
				t.Errorf("%v: want %q", err, c.says)
			}
			if f := r.feed(); f.Number != 5 || r.fixed() != "1.0.5" || len(f.Evidence) > 0 != c.evidence {
				t.Errorf("in use: number %d, %q, evidence %d", f.Number, r.fixed(), len(f.Evidence))
			}
			p.publish(7, "1.0.7", nil, 0) // the true feed goes on
			r.must(nil, p.origin())
			if r.fixed() != "1.0.7" {
				t.Errorf("afterwards: %q", r.fixed())
			}
		})
	}
}

func (p *publisher) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// republish changes the tree and leaves the heads.
func (p *publisher) republish(fixed string) {
	p.t.Helper()
	heads, err := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	if err != nil {
		p.t.Fatal(err)
	}
	p.publish(1, fixed, nil, 0)
	p.write(HeadsFile, string(heads))
}

// TestSeenStays checks that a head whose tree could not be had is remembered all the same: a later, older head is a step back.
func TestSeenStays(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(5, "1.0.5", nil, 0)
	r.must(subscription(1, 0), p.origin())
	p.publish(9, "1.0.9", nil, 0)
	bad := p.origin()
	bad.change = func(name string, b []byte) ([]byte, error) {
		if name == ManifestFile {
			return nil, errors.New("the line is cut")
		}
		return b, nil
	}
	if _, err := r.update(nil, bad, now); err == nil {
		t.Fatal("an update without a manifest succeeded")
	}
	p.publish(7, "1.0.7", nil, 0)
	_, err := r.update(nil, p.origin(), now)
	code(t, err, protocol.Differs)
}

// TestRevoked revokes a key: no later head counts, not even if the revocation has expired, and the successor is named and not trusted by itself.
func TestRevoked(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(5, "1.0.5", nil, 0)
	r.must(subscription(1, 0), p.origin())
	p.sign(6, func(h *protocol.FeedHead) {
		h.Revoked, h.Next, h.Issued, h.Expires = true, keyOf(1), now.Add(-30*24*time.Hour), now.Add(-29*24*time.Hour)
	}, 0)
	_, err := r.update(nil, p.origin(), now)
	code(t, err, protocol.Denied)
	if err == nil || !strings.Contains(protocol.AsError(err).Hint, keyOf(1).String()) {
		t.Errorf("%v does not name the successor", protocol.AsError(err).Hint)
	}
	p.publish(7, "1.0.7", nil, 0)
	_, err = r.update(nil, p.origin(), now)
	code(t, err, protocol.Denied)
	p.publish(7, "1.0.7", nil, 1)
	_, err = r.update(nil, p.origin(), now)
	code(t, err, protocol.Denied)
	if f := r.feed(); f.Age(now) != Revoked || r.fixed() != "1.0.5" || len(f.Evidence) != 1 {
		t.Errorf("%s, %q, %d", f.Age(now), r.fixed(), len(f.Evidence))
	}
}

// TestNeed has feeds of which two of three keys must have signed one state.
func TestNeed(t *testing.T) {
	p, r := newPublisher(t), newReader(t)
	p.publish(1, "1.0.1", nil, 0)
	_, err := r.update(subscription(2, 0, 1, 2), p.origin(), now)
	code(t, err, protocol.Denied)
	if list, err := r.open().List(); len(list) != 0 || err != nil {
		t.Errorf("a feed that was refused is kept: %v, %v", list, err)
	}
	p.sign(1, nil, 0, 2)
	r.must(subscription(2, 0, 1, 2), p.origin())
	p.publish(2, "1.0.2", nil, 0, 0, 3) // one key twice, and a foreign one
	_, err = r.update(nil, p.origin(), now)
	code(t, err, protocol.Denied)
	// Two keys sign, but not one state.
	p.publish(2, "1.0.3", nil, 1)
	one, _ := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	p.publish(2, "1.0.2", nil, 0)
	two, _ := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	p.write(HeadsFile, string(one)+string(two))
	_, err = r.update(nil, p.origin(), now)
	code(t, err, protocol.Denied)
	// The third key decides, and the old head that it has beside the new one is no step back.
	p.publish(3, "1.0.4", nil, 0, 2)
	three, _ := os.ReadFile(filepath.Join(p.dir, HeadsFile))
	p.write(HeadsFile, string(two)+string(three))
	r.must(nil, p.origin())
	if r.fixed() != "1.0.4" {
		t.Errorf("%q", r.fixed())
	}
}

// TestRead reads the records of a folder: a record that is wrong is named, and the others count.
func TestRead(t *testing.T) {
	dir, r := t.TempDir(), newReader(t)
	for i := range 50 {
		text := fmt.Sprintf(`{"id":"X-%d","affected":[{"package":{"ecosystem":"npm","name":"p%d"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.%d"}]}]}]}`, i, i, i)
		if i == 8 {
			text = text[:len(text)/2]
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("X-%d.json", i)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := r.open().Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := &Feed{Name: "mine", From: dir, Local: true}
	for _, news := range []bool{true, false} {
		var b Builder
		if err := b.AddFolder(t.Context(), os.DirFS(dir), StatementsFile); err != nil {
			t.Fatal(err)
		}
		got, err := l.Read(t.Context(), f, &b, now)
		if err != nil || got.News != news {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	tree, err := l.Tree(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"npm": 49}, tree.Records); diff != "" || len(tree.Broken) != 1 || tree.Broken[0].ID != "X-8" {
		t.Errorf("%s, %v", diff, tree.Broken)
	}
	if r.fixed() != "1.0.7" || f.Age(now) != Fresh || f.Age(now.Add(LocalLifetime)) != Stale {
		t.Errorf("%q, %s", r.fixed(), f.Age(now))
	}
	var none Builder
	if err := none.AddFolder(t.Context(), os.DirFS(filepath.Join(dir, "absent")), ""); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
