// Package claims asks peers what signers claim about packages, and passes on signed heads.
//
// A statement is a signer's attestation that a PID has a CID. A signed head is the newest entry of a signer's log, by which a reader notices
// that a signer withholds or takes back statements. A PIR is the description of a package.
// A hint is a signed head that a node sends to its peers unasked.
// An Asker asks for statements, heads and PIRs, and sends and receives hints.
//
// The package opens no sockets: it reaches peers by routing.Router.
package claims

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/wire"
	"github.com/MordragT/nuka/protocol"
)

// Heads is the set of operations an Asker needs of its system daemon.
type Heads interface {
	// Learn verifies a signed head that a peer sent, and keeps it if it is news. protocol.ErrBackward says that the peer, or the signer,
	// goes back.
	Learn(ctx context.Context, head []byte) error
	// LearnPublished does the same with a head of a feed or a package set, if the node follows or publishes its signer's.
	LearnPublished(ctx context.Context, head []byte) error
}

// Options configure an Asker. All fields must be set.
type Options struct {
	Router routing.Router
	Heads  Heads
	Codec  *wire.Codec
	// Self is the key of this node.
	Self protocol.Key
	// Signers returns the signers whose statements count.
	Signers func() []protocol.Key
	Log     *slog.Logger
}

// An Asker asks peers. Many goroutines may call its methods.
type Asker struct{ o Options }

// New returns an Asker.
func New(o *Options) *Asker { return &Asker{o: *o} }

var signerField = []byte(`"signer":"`)

// signedBy reads the signer out of the canonical bytes of a statement or a head, without looking at the rest.
func signedBy(canonical []byte) (protocol.Key, error) {
	_, rest, ok := bytes.Cut(canonical, signerField)
	text, _, ok2 := bytes.Cut(rest[:min(len(rest), 64)], []byte(`"`))
	if !ok || !ok2 {
		return protocol.Key{}, errors.New("it names no signer")
	}
	return protocol.ParseKey(string(text))
}
