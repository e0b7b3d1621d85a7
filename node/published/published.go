// Package published keeps the newest signed heads of the feeds and package sets that a node publishes or its user follows.
//
// A Heads has one file for each signer. It says nothing about whether a head counts for a user: that user's folder of sets or feeds decides,
// with the numbers that it has seen.
package published

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

const (
	suffix = ".published"
	form   = 1
	// maxSigners bounds the signers that a node follows and publishes.
	maxSigners = 200
	// maxFile bounds the bytes of a signer's file.
	maxFile = 1 << 20
)

// Heads keeps heads of signers. It is safe for use by several goroutines. A nil Heads keeps none.
type Heads struct {
	// Newer is called with each head that Learn kept. It must not block or call back. nil is not called. It must be set before the first call of Learn.
	Newer func(head []byte)

	dir string
	log *slog.Logger

	mu      sync.Mutex
	signers map[protocol.Key]*signer
}

// A signer is what is kept of one key.
type signer struct {
	publish bool // this node announces that it has heads of the key
	heads   map[what]pair
}

// what names one thing that a signer publishes.
type what struct {
	kind protocol.PublishedKind
	name string
}

// A pair has the newest head of one thing, and a head that contradicts it: another tree of the same number, or a number far above. Both are passed on, so that readers learn
// of it; the odd one never takes the place of the newest.
type pair struct{ newest, odd *protocol.Published }

// Open reads the heads in a folder, which Open makes if it is missing. A file that is damaged counts as missing.
func Open(dir string, log *slog.Logger) (*Heads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := &Heads{dir: dir, log: log, signers: map[protocol.Key]*signer{}}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		key, err := protocol.ParseKey(name)
		if !ok || err != nil {
			continue
		}
		s, err := read(filepath.Join(dir, e.Name()), key)
		if err != nil {
			log.Warn("heads of a signer are unreadable and do not count", "signer", key, "error", err)
			continue
		}
		h.signers[key] = s
	}
	return h, nil
}

func read(path string, key protocol.Key) (*signer, error) {
	info, err := os.Lstat(path)
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxFile) {
		err = fmt.Errorf("%s is no file, or too large", path)
	}
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rec, err := nuon.DecodeRecord(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil {
		return nil, err
	}
	if rec["published"] != int64(form) {
		return nil, fmt.Errorf("its form is %v, this program knows %d", rec["published"], form)
	}
	s := &signer{heads: map[what]pair{}}
	s.publish, _ = rec["publish"].(bool)
	list, _ := rec["heads"].(nuon.List)
	for _, v := range list {
		text, _ := v.(string)
		p, err := protocol.DecodePublished([]byte(text))
		if err != nil {
			return nil, err
		}
		if p.Signer != key {
			return nil, fmt.Errorf("it has a head of %s", p.Signer)
		}
		s.add(p)
	}
	return s, nil
}

// add keeps a head, and reports whether it is news.
func (s *signer) add(p *protocol.Published) bool {
	k := what{p.Kind, p.Name}
	old, known := s.heads[k]
	if !known && len(s.heads) >= protocol.MaxNames {
		return false
	}
	base := int64(0)
	if old.newest != nil {
		base = old.newest.Number
	}
	next := old
	switch {
	case old.newest != nil && old.newest.Revoked:
		return false // nothing follows
	case p.Revoked:
		next = pair{newest: p}
	case p.Number-base > protocol.MaxFeedStep || old.newest != nil && p.Number == base && p.Root != old.newest.Root:
		if old.odd != nil {
			return false // the first proves as much
		}
		next.odd = p
	case old.newest == nil || p.Number > base || p.Number == base && p.Issued.After(old.newest.Issued):
		next.newest = p
		if next.odd != nil && next.odd.Number <= p.Number && next.odd.Number != base {
			next.odd = nil
		}
	default:
		return false
	}
	s.heads[k] = next
	return true
}

// list returns the heads in a steady order, the newest of each thing before the odd one.
func (s *signer) list() (all []*protocol.Published) {
	keys := slices.SortedFunc(maps.Keys(s.heads), func(a, b what) int {
		return strings.Compare(string(a.kind)+"/"+a.name, string(b.kind)+"/"+b.name)
	})
	for _, k := range keys {
		for _, p := range []*protocol.Published{s.heads[k].newest, s.heads[k].odd} {
			if p != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

func (h *Heads) write(key protocol.Key, s *signer) error {
	list := nuon.List{}
	for _, p := range s.list() {
		list = append(list, string(p.Text))
	}
	text, err := nuon.Encode(nuon.Record{"published": int64(form), "publish": s.publish, "heads": list})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(h.dir, key.String()+suffix), append(text, '\n'))
}

// Keep makes h keep heads of signers from now on. With publish, Publishes returns them, too.
func (h *Heads) Keep(keys []protocol.Key, publish bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		s := h.signers[key]
		if s != nil && (s.publish || !publish) {
			continue
		}
		next := &signer{publish: publish, heads: map[what]pair{}}
		if s != nil {
			next.heads = s.heads
		} else if len(h.signers) >= maxSigners {
			return protocol.Errorf(protocol.Exhausted, "this node follows %d signers of feeds and package sets, and no more are allowed", maxSigners)
		}
		if err := h.write(key, next); err != nil {
			return err
		}
		h.signers[key] = next
	}
	return nil
}

// Drop forgets signers and their heads, without published those that the node does not publish, and returns the signers that it forgot.
func (h *Heads) Drop(keys []protocol.Key, published bool) (gone []protocol.Key, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if s := h.signers[key]; s == nil || s.publish && !published {
			continue
		}
		if err := os.Remove(filepath.Join(h.dir, key.String()+suffix)); err != nil {
			return gone, err
		}
		delete(h.signers, key)
		gone = append(gone, key)
	}
	return gone, nil
}

// Learn keeps a head of a signer that is followed or published, if it is news: it is durable when Learn returns. Other heads are dropped, and those that are not valid now.
func (h *Heads) Learn(text []byte, now time.Time) error {
	if h == nil {
		return nil
	}
	p, err := protocol.DecodePublished(text)
	if err != nil || !p.Revoked && !p.Fresh(now) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.signers[p.Signer]
	if s == nil {
		return nil
	}
	next := &signer{publish: s.publish, heads: maps.Clone(s.heads)}
	if !next.add(p) {
		return nil
	}
	if err := h.write(p.Signer, next); err != nil {
		return err
	}
	h.signers[p.Signer] = next
	if h.Newer != nil {
		h.Newer(p.Text)
	}
	return nil
}

// Follows reports whether heads of a signer are kept.
func (h *Heads) Follows(key protocol.Key) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.signers[key] != nil
}

// Known returns the heads that are kept of signers.
func (h *Heads) Known(keys []protocol.Key) (all []*protocol.Published) {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		if s := h.signers[key]; s != nil {
			all = append(all, s.list()...)
		}
	}
	return all
}

// Publishes returns the signers whose heads this node announces.
func (h *Heads) Publishes() (keys []protocol.Key) {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, s := range h.signers {
		if s.publish {
			keys = append(keys, key)
		}
	}
	return keys
}

// Any reports whether heads of any signer are kept.
func (h *Heads) Any() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.signers) > 0
}
