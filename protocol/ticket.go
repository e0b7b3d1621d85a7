package protocol

import (
	"bytes"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/pir/nuon"
)

const (
	ticketPrefix = "nuka-"
	// maxTicket bounds the characters of a ticket.
	maxTicket = 8 << 10
	// ticketSum is the number of bytes of BLAKE3 at the end of a ticket. They tell an incompletely copied ticket from an invalid one.
	ticketSum = 4
	// maxAddresses bounds the addresses of a ticket.
	maxAddresses = 32
)

var ticketText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// A Ticket is one string with everything needed to get something from a node: what to get, and where the node is.
// A ticket with a Right is a secret: its bearer may do what the right allows.
type Ticket struct {
	PID       pir.PID  // of the package; zero if the ticket is about content, a node or a mesh
	CID       cid.CID  // of the content; zero likewise
	Node      Key      // the key of the node that has it
	Addresses []string // multiaddrs of the node, without its peer id
	// Right is a bearer secret of up to 64 bytes: to attach to the node as a light peer, or to join its mesh.
	Right []byte
	// Mesh is the name of the mesh, if the ticket is about one.
	Mesh string
	// Kind and Name are what Signers publish, if the ticket is about a feed or a package set. The ticket then has no PID, CID, Right or Mesh.
	Kind    PublishedKind
	Name    string
	Signers []Key
}

// String returns the text form: "nuka-" and, in lower-case base32, the binary form and a checksum.
func (t *Ticket) String() string { return ticketOf(t.encode()) }

func ticketOf(b []byte) string {
	sum := blake3.Sum256(b)
	return ticketPrefix + ticketText.EncodeToString(append(b, sum[:ticketSum]...))
}

// first returns the text form of version 1, which is still in use: canonical NUON in place of the binary form.
func (t *Ticket) first() string {
	b, err := nuon.Encode(t.record())
	if err != nil {
		panic("protocol: ticket: " + err.Error()) // all its values are strings and bytes
	}
	return ticketOf(b)
}

func (t *Ticket) record() nuon.Record {
	rec := nuon.Record{"ticket": int64(1)}
	if !t.PID.IsZero() {
		rec["pid"] = t.PID.String()
	}
	if !t.CID.IsZero() {
		rec["cid"] = t.CID.String()
	}
	if !t.Node.IsZero() {
		rec["node"] = t.Node.String()
	}
	if len(t.Addresses) > 0 {
		list := make(nuon.List, len(t.Addresses))
		for i, a := range t.Addresses {
			list[i] = a
		}
		rec["addresses"] = list
	}
	if len(t.Right) > 0 {
		rec["right"] = nuon.Binary(t.Right)
	}
	if t.Mesh != "" {
		rec["mesh"] = t.Mesh
	}
	return rec
}

// IsTicket reports whether a text looks like a ticket.
func IsTicket(s string) bool { return strings.HasPrefix(s, ticketPrefix) }

// ParseTicket reads the text form that String returns now, or returned in an earlier version, and no other form.
func ParseTicket(s string) (*Ticket, error) {
	text, ok := strings.CutPrefix(s, ticketPrefix)
	if !ok || len(s) > maxTicket {
		return nil, fmt.Errorf("parse ticket %.20q: it begins with %s and has at most %d characters", s, ticketPrefix, maxTicket)
	}
	b, err := ticketText.DecodeString(text)
	if err != nil || len(b) < ticketSum || ticketText.EncodeToString(b) != text {
		return nil, fmt.Errorf("parse ticket %.20q…: a character is missing or wrong", s)
	}
	b, sum := b[:len(b)-ticketSum], b[len(b)-ticketSum:]
	if want := blake3.Sum256(b); !bytes.Equal(want[:ticketSum], sum) {
		return nil, fmt.Errorf("parse ticket %.20q…: a part of it is missing or was changed", s)
	}
	read, write := ticketFrom, (*Ticket).first
	if len(b) > 0 && b[0] == ticketVersion {
		read, write = decodeTicket, (*Ticket).String
	}
	t, err := read(b)
	if err != nil {
		return nil, fmt.Errorf("parse ticket %.20q…: %w", s, err)
	}
	if write(t) != s {
		return nil, fmt.Errorf("parse ticket %.20q…: a newer nuka made it", s)
	}
	return t, nil
}

// ticketFrom reads version 1.
func ticketFrom(b []byte) (*Ticket, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	t := &Ticket{}
	t.Mesh, _ = rec["mesh"].(string)
	right, _ := rec["right"].(nuon.Binary)
	t.Right = right
	list, _ := rec["addresses"].(nuon.List)
	if len(list) > maxAddresses || len(right) > 64 {
		return nil, errors.New("it has more addresses than a ticket may, or too long a right")
	}
	for _, v := range list {
		a, _ := v.(string)
		t.Addresses = append(t.Addresses, a)
	}
	if s, ok := rec["pid"].(string); ok {
		if t.PID, err = pir.ParsePID(s); err != nil {
			return nil, err
		}
	}
	if s, ok := rec["cid"].(string); ok {
		if t.CID, err = cid.Parse(s); err != nil {
			return nil, err
		}
	}
	if s, ok := rec["node"].(string); ok {
		if t.Node, err = ParseKey(s); err != nil {
			return nil, err
		}
	}
	return t, nil
}
