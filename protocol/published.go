package protocol

import (
	"fmt"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

// A PublishedKind is what a signer publishes under a name.
type PublishedKind string

// The kinds.
const (
	PublishedFeed PublishedKind = "feed" // of records of vulnerabilities
	PublishedSet  PublishedKind = "set"  // of packages
)

const (
	// MaxPublished bounds the bytes of a head of any kind.
	MaxPublished = 4 << 10
	// MaxNames bounds the heads that are kept of one signer.
	MaxNames = 32
	// MaxPublishedKeys bounds the signers of one call, and of a ticket.
	MaxPublishedKeys = 16
)

// A Published is a verified head of a feed or of a package set, in what both have.
type Published struct {
	Kind    PublishedKind
	Name    string
	Number  int64
	Root    cid.CID
	Issued  time.Time
	Expires time.Time
	Revoked bool
	Signer  Key
	Text    []byte // the canonical bytes
}

// Fresh reports whether the head is valid at a time. A head issued more than MaxSkew ahead is not.
func (p *Published) Fresh(now time.Time) bool {
	return now.Before(p.Expires) && p.Issued.Before(now.Add(MaxSkew))
}

// DecodePublished reads the head of a feed or of a package set from its canonical bytes and verifies its signature.
func DecodePublished(canonical []byte) (*Published, error) {
	if len(canonical) > MaxPublished {
		return nil, fmt.Errorf("decode head: %d bytes are more than %d", len(canonical), MaxPublished)
	}
	rec, err := nuon.DecodeRecord(canonical)
	if err != nil {
		return nil, fmt.Errorf("decode head: %w", err)
	}
	text := append([]byte{}, canonical...)
	if _, is := rec["feed"]; is {
		h, err := DecodeFeedHead(canonical)
		if err != nil {
			return nil, err
		}
		return &Published{PublishedFeed, h.Name, h.Number, h.Root, h.Issued, h.Expires, h.Revoked, h.Signer, text}, nil
	}
	if _, is := rec["set"]; is {
		h, err := DecodeSetHead(canonical)
		if err != nil {
			return nil, err
		}
		return &Published{PublishedSet, h.Name, h.Number, h.Root, h.Issued, h.Expires, false, h.Signer, text}, nil
	}
	return nil, fmt.Errorf("decode head: it is neither a feed's nor a package set's")
}

// PublishedKey returns the key in the DHT under which nodes announce that they have heads of what a signer publishes.
func PublishedKey(k Key) [32]byte { return derive("nuka dht published 1", k[:]) }

// OpPublished concerns what signers publish: feeds and package sets.
const OpPublished Op = "published" // PublishedArgs → PublishedAnswer, with events

// PublishedArgs asks peers for heads of signers (no Action), fetches the tree of a head (get), publishes heads whose tree is in the store (add), or
// stops following and publishing signers (remove).
type PublishedArgs struct {
	Action Action `json:"action,omitempty"`
	Keys   []Key  `json:"keys,omitempty"`   // whose heads; MaxPublishedKeys at most
	Ticket string `json:"ticket,omitempty"` // of a node that may have them; "" is none
	// Follow with remove only stops following: what the node publishes stays. Otherwise it makes the node keep heads of the signers that peers send, pass them on, and serve the trees that it has fetched. It has no effect for other callers than the node's user.
	Follow bool     `json:"follow,omitempty"`
	Heads  []string `json:"heads,omitempty"` // of one tree: to publish or to fetch
	Size   int64    `json:"size,omitempty"`  // bound of the bytes of the tree's files
}

// A PublishedAnswer has heads with verified signatures. It says nothing about whether they count.
type PublishedAnswer struct {
	Heads []string `json:"heads"` // from peers that answered now
	Own   []string `json:"own"`   // those that this node keeps
	Peers int      `json:"peers"` // that this node is connected to
	// Ticket names the node, the signers and what was published; Reachable is that of Shared.
	Ticket    string `json:"ticket,omitempty"`
	Reachable bool   `json:"reachable,omitempty"`
}
