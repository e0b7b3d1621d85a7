package feed

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

const (
	// MaxFeeds bounds the feeds of a user.
	MaxFeeds = 50
	// MaxKeys bounds the keys of a feed.
	MaxKeys = 16
	// maxEvidence bounds the heads of a feed that are kept because they contradict others.
	maxEvidence = 16
)

// A Feed is a feed that the user follows.
type Feed struct {
	Name  string // the user's name of it
	From  string // where it comes from: an absolute path or a URL
	Local bool   // a folder or file of OSV records of the user's own: it has no heads
	Keys  []protocol.Key
	Need  int // how many of the keys must have signed a head

	Title   string    // the signers' name of the feed; "" if Local
	Number  int64     // of the heads in use; 0 if Local
	Root    cid.CID   // of the tree in use
	Issued  time.Time // the newest of the heads in use; of a local feed, when it was read
	Expires time.Time // the earliest of those heads; zero if Local
	Updated time.Time // when the tree came into use
	Checked time.Time // when the origin last gave heads that count, or was read
	// Seen has the newest head of each key. What it says is never taken back: a key's number does not fall.
	Seen []Seen
	// Evidence are heads that contradict those seen before, as their signers signed them, the oldest first.
	Evidence []string
}

// Seen is the newest head that was seen of a key.
type Seen struct {
	Key     protocol.Key
	Number  int64
	Root    cid.CID
	Revoked bool
	Next    protocol.Key
}

// seen returns what was seen of a key; a zero Number is nothing.
func (f *Feed) seen(k protocol.Key) Seen {
	for _, s := range f.Seen {
		if s.Key == k {
			return s
		}
	}
	return Seen{Key: k}
}

func (f *Feed) see(s Seen) {
	f.Seen = slices.DeleteFunc(slices.Clone(f.Seen), func(o Seen) bool { return o.Key == s.Key })
	f.Seen = append(f.Seen, s)
	slices.SortFunc(f.Seen, func(a, b Seen) int { return bytes.Compare(a.Key[:], b.Key[:]) })
}

// live returns the keys that were not revoked.
func (f *Feed) live() []protocol.Key {
	return slices.DeleteFunc(slices.Clone(f.Keys), func(k protocol.Key) bool { return f.seen(k).Revoked })
}

// An Age says how far what a feed says can be relied on now.
type Age string

// The ages.
const (
	Fresh   Age = "fresh"
	Stale   Age = "stale"   // its heads have expired: nobody can tell what happened since
	Early   Age = "early"   // this machine's clock is before the time when its head was issued
	Revoked Age = "revoked" // too few of its keys are left
	Absent  Age = "absent"  // it has no tree yet
)

// LocalLifetime is how long a local feed is fresh after it was read.
const LocalLifetime = 30 * 24 * time.Hour

// Age returns the age of a feed at a time.
func (f *Feed) Age(now time.Time) Age {
	switch {
	case f.Root.IsZero():
		return Absent
	case !f.Local && len(f.live()) < f.Need:
		return Revoked
	case now.Before(f.Issued.Add(-protocol.MaxSkew)):
		return Early
	case f.Local && now.Before(f.Updated.Add(LocalLifetime)), !f.Local && now.Before(f.Expires):
		return Fresh
	}
	return Stale
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

func (f *Feed) record() nuon.Record {
	rec := nuon.Record{"name": f.Name, "from": f.From, "updated": unix(f.Updated), "checked": unix(f.Checked), "issued": unix(f.Issued)}
	if !f.Root.IsZero() {
		rec["root"] = f.Root.String()
	}
	if f.Local {
		rec["local"] = true
		return rec
	}
	keys := make(nuon.List, len(f.Keys))
	for i, k := range f.Keys {
		keys[i] = k.String()
	}
	seen := make(nuon.List, len(f.Seen))
	for i, s := range f.Seen {
		one := nuon.Record{"key": s.Key.String(), "number": s.Number, "root": s.Root.String()}
		if s.Revoked {
			one["revoked"] = true
		}
		if !s.Next.IsZero() {
			one["next"] = s.Next.String()
		}
		seen[i] = one
	}
	rec["keys"], rec["need"], rec["title"], rec["number"], rec["expires"], rec["seen"] = keys, int64(f.Need), f.Title, f.Number, unix(f.Expires), seen
	if len(f.Evidence) > 0 {
		evidence := make(nuon.List, len(f.Evidence))
		for i, e := range f.Evidence {
			evidence[i] = e
		}
		rec["evidence"] = evidence
	}
	return rec
}

// check returns an error about the first wrong field.
func (f *Feed) check() error {
	switch {
	case !protocol.IsSetName(f.Name):
		return fmt.Errorf("name %.80q cannot be the name of a feed", f.Name)
	case f.From == "" || len(f.From) > 8<<10 || strings.ContainsAny(f.From, "\n\r\x00"):
		return fmt.Errorf("%s: its origin is empty or wrong", f.Name)
	case !f.Local && (len(f.Keys) == 0 || len(f.Keys) > MaxKeys || f.Need < 1 || f.Need > len(f.Keys)):
		return fmt.Errorf("%s: it has %d keys and needs %d of them", f.Name, len(f.Keys), f.Need)
	case f.Local && len(f.Keys) > 0:
		return fmt.Errorf("%s: a local feed has no keys", f.Name)
	case !f.Local && f.Number > 0 && (f.Root.IsZero() || !protocol.IsSetName(f.Title)):
		return fmt.Errorf("%s: its head and its tree do not agree", f.Name)
	case len(f.Evidence) > maxEvidence || len(f.Seen) > MaxKeys:
		return fmt.Errorf("%s: too many heads are kept", f.Name)
	}
	return nil
}

func feedFrom(rec nuon.Record) (f Feed, err error) {
	text := func(rec nuon.Record, field string) string { t, _ := rec[field].(string); return t }
	number := func(rec nuon.Record, field string) int64 { n, _ := rec[field].(int64); return n }
	f = Feed{Name: text(rec, "name"), From: text(rec, "from"), Title: text(rec, "title"), Number: number(rec, "number"), Need: int(number(rec, "need")),
		Issued: fromUnix(number(rec, "issued")), Expires: fromUnix(number(rec, "expires")), Updated: fromUnix(number(rec, "updated")), Checked: fromUnix(number(rec, "checked"))}
	f.Local, _ = rec["local"].(bool)
	wrong := func(err error) (Feed, error) { return Feed{}, fmt.Errorf("%.80q: %w", f.Name, err) }
	if s := text(rec, "root"); s != "" {
		if f.Root, err = cid.Parse(s); err != nil {
			return wrong(err)
		}
	}
	keys, _ := rec["keys"].(nuon.List)
	for _, v := range keys {
		s, _ := v.(string)
		k, err := protocol.ParseKey(s)
		if err != nil {
			return wrong(err)
		}
		f.Keys = append(f.Keys, k)
	}
	seen, _ := rec["seen"].(nuon.List)
	for _, v := range seen {
		one, _ := v.(nuon.Record)
		s := Seen{Number: number(one, "number")}
		s.Revoked, _ = one["revoked"].(bool)
		if s.Key, err = protocol.ParseKey(text(one, "key")); err != nil {
			return wrong(err)
		}
		if s.Root, err = cid.Parse(text(one, "root")); err != nil {
			return wrong(err)
		}
		if next := text(one, "next"); next != "" {
			if s.Next, err = protocol.ParseKey(next); err != nil {
				return wrong(err)
			}
		}
		f.Seen = append(f.Seen, s)
	}
	evidence, _ := rec["evidence"].(nuon.List)
	for _, v := range evidence {
		s, _ := v.(string)
		f.Evidence = append(f.Evidence, s)
	}
	return f, nil
}
