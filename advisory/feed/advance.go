package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// maxHeads bounds the heads that an origin gives for a feed.
const maxHeads = 64

// readHeads reads the file of heads: a line each. Lines that are no head, or whose signature is wrong, are dropped; wrong says why the first of them was.
func readHeads(text []byte) (heads []*protocol.FeedHead, wrong error) {
	n := 0
	for one := range bytes.Lines(text) {
		one = bytes.TrimRight(one, "\r\n") // an archive may have written the line end of another system
		if len(one) == 0 {
			continue
		}
		if n++; n > maxHeads {
			break
		}
		h, err := protocol.DecodeFeedHead(one)
		if err != nil && wrong == nil {
			wrong = err
		}
		if err == nil {
			heads = append(heads, h)
		}
	}
	return heads, wrong
}

// EncodeHeads returns the text of the file of heads.
func EncodeHeads(heads []*protocol.FeedHead) ([]byte, error) {
	var out []byte
	for _, h := range heads {
		b, err := h.Encode()
		if err != nil {
			return nil, err
		}
		out = append(append(out, b...), '\n')
	}
	return out, nil
}

// A Next is what the heads of a feed lead to: a number and a tree that enough of its keys have signed.
type Next struct {
	Title   string
	Number  int64
	Root    cid.CID
	Issued  time.Time
	Expires time.Time
}

// Advance compares the heads that an origin offers with what is known of a feed. It records in f what was seen, also if it returns an error: a number that
// was seen stays seen, a revocation stays, and heads that contradict are kept as evidence. So the caller stores f in any case.
// The tree in use changes only with Adopt.
//
// If too few of the keys signed a head, the error has the code Denied; if a head goes back or contradicts another, Differs; if the clock says that the heads do not count
// now, Unavailable.
func (f *Feed) Advance(heads []*protocol.FeedHead, now time.Time) (*Next, error) {
	var wrong error
	refuse := func(code protocol.Code, hint, format string, args ...any) {
		if wrong == nil {
			wrong = protocol.Errorf(code, "feed %s: "+format, append([]any{f.Name}, args...)...).WithHint("%s", hint)
		}
	}
	foreign := 0
	counted := map[protocol.Key]*protocol.FeedHead{}
	for _, h := range f.sorted(heads) {
		if !slices.Contains(f.Keys, h.Signer) {
			foreign++
			continue
		}
		s := f.seen(h.Signer)
		switch {
		case f.Title != "" && h.Name != f.Title:
			refuse(protocol.Denied, "to follow that feed, subscribe to it under a name of its own",
				"a head of %s is that of the feed %q, and not of %q", h.Signer, h.Name, f.Title)
		case h.Revoked: // before anything about time: a thief could otherwise wait until it has expired
			if !s.Revoked {
				f.see(Seen{Key: h.Signer, Number: max(s.Number, h.Number), Root: h.Root, Revoked: true, Next: h.Next})
			}
		case s.Revoked:
			f.keep(h)
			refuse(protocol.Denied, nextHint(s), "the key %s was revoked, and signs again", h.Signer)
		case h.Number < s.Number:
			f.keep(h)
			refuse(protocol.Differs, "the origin offers an old state: try another, or ask its publisher; what you have stays in use",
				"its head goes back, from number %d to %d", s.Number, h.Number)
		case h.Number == s.Number && h.Root != s.Root:
			f.keep(h)
			refuse(protocol.Differs, "the publisher or the origin contradicts itself; what you have stays in use", "there are two heads of number %d of %s", h.Number, h.Signer)
		case h.Number-s.Number > protocol.MaxFeedStep:
			f.keep(h)
			refuse(protocol.Differs, "a thief of the key may want to use up all numbers: ask its publisher", "its number jumps from %d to %d", s.Number, h.Number)
		case !h.Issued.Before(now.Add(protocol.MaxSkew)):
			refuse(protocol.Unavailable, "check the clock of this machine", "a head was issued %s, which is in the future", h.Issued.UTC().Format(time.DateTime))
		case !h.Fresh(now):
			refuse(protocol.Unavailable, "ask its publisher to sign it again, or check the clock of this machine; what you have stays in use",
				"its head expired %s", h.Expires.UTC().Format(time.DateTime))
		default:
			f.see(Seen{Key: h.Signer, Number: h.Number, Root: h.Root})
			counted[h.Signer] = h
		}
	}
	next := f.agree(counted)
	switch {
	case next != nil && (next.Number < f.Number || next.Number == f.Number && next.Root != f.Root): // other keys than last time agree on less
		return nil, protocol.Errorf(protocol.Differs, "feed %s: its heads go back, from number %d to %d", f.Name, f.Number, next.Number).
			WithHint("the origin offers an old state: try another, or ask its publisher; what you have stays in use")
	case next != nil:
		return next, nil
	case wrong != nil:
		return nil, wrong
	}
	for _, k := range f.Keys {
		if s := f.seen(k); s.Revoked {
			return nil, protocol.Errorf(protocol.Denied, "feed %s: its key %s was revoked", f.Name, k).WithHint("%s", nextHint(s))
		}
	}
	hint := "the origin gave no head of a key that you trust"
	if foreign > 0 {
		hint = fmt.Sprintf("heads of other keys: %d; if the publisher has a new key, subscribe again with --key", foreign)
	}
	return nil, protocol.Errorf(protocol.Denied, "feed %s: %d of its %d keys signed one state, and %d are needed", f.Name, f.most(counted), len(f.Keys), f.Need).WithHint("%s", hint)
}

// nextHint says what to do about a revoked key.
func nextHint(s Seen) string {
	if s.Next.IsZero() {
		return "ask its publisher for the new key, outside of the feed, and subscribe again with --key"
	}
	return fmt.Sprintf("it names %s as its successor: ask its publisher, outside of the feed, and subscribe again with --key", s.Next)
}

// sorted returns heads in an order in which a key's smaller numbers come first, and revocations before everything: the result of Advance does not depend on
// the order in which an origin gives them.
func (f *Feed) sorted(heads []*protocol.FeedHead) []*protocol.FeedHead {
	newest := map[protocol.Key]*protocol.FeedHead{}
	var out []*protocol.FeedHead
	for _, h := range heads {
		if h.Revoked || h.Number-f.seen(h.Signer).Number > protocol.MaxFeedStep { // the latter takes the place of no other head
			out = append(out, h)
			continue
		}
		// An origin may still have old heads of a key beside the newest: they are no step back.
		old := newest[h.Signer]
		if old == nil || h.Number > old.Number || h.Number == old.Number && h.Root == old.Root && h.Expires.After(old.Expires) {
			newest[h.Signer] = h
		} else if h.Number == old.Number && h.Root != old.Root {
			out = append(out, h)
		}
	}
	for _, h := range newest {
		out = append(out, h)
	}
	slices.SortStableFunc(out, func(a, b *protocol.FeedHead) int {
		if a.Revoked != b.Revoked {
			if a.Revoked {
				return -1
			}
			return 1
		}
		if n := bytes.Compare(a.Signer[:], b.Signer[:]); n != 0 {
			return n
		}
		return strings.Compare(a.Root.String(), b.Root.String())
	})
	return out
}

// keep keeps a head that contradicts others.
func (f *Feed) keep(h *protocol.FeedHead) {
	text, err := h.Encode()
	if err != nil || slices.Contains(f.Evidence, string(text)) {
		return
	}
	f.Evidence = append(slices.Clone(f.Evidence), string(text))
	if extra := len(f.Evidence) - maxEvidence; extra > 0 { // the first ones prove the most: they were signed before anybody looked
		f.Evidence = append(f.Evidence[:maxEvidence-1:maxEvidence-1], f.Evidence[len(f.Evidence)-1])
	}
}

// A state is what keys have to agree on.
type state struct {
	name   string
	number int64
	root   cid.CID
}

// agree returns the state with the largest number that enough keys have signed.
func (f *Feed) agree(heads map[protocol.Key]*protocol.FeedHead) *Next {
	votes := map[state]*Next{}
	count := map[state]int{}
	for _, h := range heads {
		s := state{h.Name, h.Number, h.Root}
		count[s]++
		n := votes[s]
		if n == nil {
			n = &Next{Title: h.Name, Number: h.Number, Root: h.Root, Issued: h.Issued.UTC(), Expires: h.Expires.UTC()}
			votes[s] = n
		}
		if h.Issued.After(n.Issued) {
			n.Issued = h.Issued.UTC()
		}
		if h.Expires.Before(n.Expires) {
			n.Expires = h.Expires.UTC()
		}
	}
	var best *Next
	for s, n := range votes {
		if count[s] < f.Need {
			continue
		}
		if best == nil || n.Number > best.Number {
			best = n
		}
	}
	return best
}

func (f *Feed) most(heads map[protocol.Key]*protocol.FeedHead) (most int) {
	count := map[state]int{}
	for _, h := range heads {
		s := state{h.Name, h.Number, h.Root}
		count[s]++
		most = max(most, count[s])
	}
	return most
}

// adopt puts a state into use.
func (f *Feed) adopt(n *Next, now time.Time) {
	if f.Root != n.Root || f.Number != n.Number {
		f.Updated = now.UTC().Truncate(time.Second)
	}
	f.Title, f.Number, f.Root, f.Issued, f.Expires, f.Checked = n.Title, n.Number, n.Root, n.Issued, n.Expires, now.UTC().Truncate(time.Second)
}

// ReadHeads returns the heads of a folder; none if it has no file of heads. A head that is wrong is an error.
func ReadHeads(files fs.FS) ([]*protocol.FeedHead, error) {
	text, err := readFile(files, HeadsFile, MaxHeads)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	heads, err := readHeads(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", HeadsFile, err)
	}
	return heads, nil
}
