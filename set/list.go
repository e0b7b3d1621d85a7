package set

import (
	"fmt"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

const (
	// Embedded is the name of the set in the command. It is the last in every order.
	Embedded = "nuka"
	// MaxSets bounds the sets of a user.
	MaxSets = 100
)

// A Set is a package set that the user has added.
type Set struct {
	Name    string       // the user's name of it
	From    string       // where it comes from, as the command writes it: a folder, a repository, a ticket or a CID
	Signer  protocol.Key // whose heads count; zero for a folder of the user
	Title   string       // the signer's name of the set; "" without a signer
	Number  int64        // of the last head; 0 without a signer
	Expires time.Time    // of the last head, whole seconds; zero without a signer
	Root    cid.CID      // of the tree in use
	Updated time.Time    // when the tree came into use, whole seconds
	Pinned  bool         // update leaves it as it is
}

func (s *Set) record() nuon.Record {
	rec := nuon.Record{"name": s.Name, "from": s.From, "root": s.Root.String(), "updated": s.Updated.Unix()}
	if !s.Signer.IsZero() {
		rec["signer"], rec["title"], rec["number"], rec["expires"] = s.Signer.String(), s.Title, s.Number, s.Expires.Unix()
	}
	if s.Pinned {
		rec["pinned"] = true
	}
	return rec
}

// check returns an error about the first wrong field.
func (s *Set) check() error {
	signed := !s.Signer.IsZero()
	switch {
	case !protocol.IsSetName(s.Name) || s.Name == Embedded:
		return fmt.Errorf("name %.80q cannot be the name of a set", s.Name)
	case s.From == "" || len(s.From) > 8<<10 || strings.ContainsAny(s.From, "\n\r\x00"):
		return fmt.Errorf("%s: its origin is empty or wrong", s.Name)
	case s.Root.IsZero():
		return fmt.Errorf("%s: it has no tree", s.Name)
	case signed != (s.Number > 0) || signed != !s.Expires.IsZero() || signed != protocol.IsSetName(s.Title):
		return fmt.Errorf("%s: its signer and its head do not agree", s.Name)
	}
	return nil
}

func setFrom(rec nuon.Record) (s Set, err error) {
	text := func(field string) string { t, _ := rec[field].(string); return t }
	number := func(field string) int64 { n, _ := rec[field].(int64); return n }
	s = Set{Name: text("name"), From: text("from"), Title: text("title"), Number: number("number"), Updated: time.Unix(number("updated"), 0).UTC()}
	s.Pinned, _ = rec["pinned"].(bool)
	if s.Root, err = cid.Parse(text("root")); err != nil {
		return Set{}, fmt.Errorf("%.80q: %w", s.Name, err)
	}
	if signer := text("signer"); signer != "" {
		if s.Signer, err = protocol.ParseKey(signer); err != nil {
			return Set{}, fmt.Errorf("%.80q: %w", s.Name, err)
		}
		s.Expires = time.Unix(number("expires"), 0).UTC()
	}
	return s, nil
}
