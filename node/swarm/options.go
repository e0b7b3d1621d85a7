package swarm

import (
	"context"
	"crypto"
	"iter"
	"log/slog"

	"github.com/libp2p/go-libp2p"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// An Asker is a peer that asks for something.
type Asker struct {
	Key protocol.Key
	// Private says that the peer is on a private address or on this machine, and that nobody relays for it.
	Private bool
}

// An Announcement is what the DHT is to know about this node: a PID that it says something about, a root that it holds
// whole, or both. Zero fields announce nothing.
type Announcement struct {
	PID  pir.PID
	Root cid.CID
}

// System is the set of operations a Swarm needs of its system daemon.
// All methods may be called from many goroutines.
type System interface {
	// Block returns a block that the asker may have. An error says that it is not here, or not for the asker: peers are not
	// told which. The bytes have been compared with c, and are not changed.
	Block(ctx context.Context, c cid.CID, to Asker) ([]byte, error)
	// Statements returns encoded attestations about PIDs that the asker may be told, in any order.
	Statements(ctx context.Context, ids []pir.PID, to Asker) ([][]byte, error)
	// PIR returns the canonical bytes of the PIR of a package about which the asker may be told something. An error says that
	// there is none, or that it is not for the asker: peers are not told which.
	PIR(ctx context.Context, id pir.PID, to Asker) ([]byte, error)
	// Heads returns the newest known heads of signers, encoded; what is not known is left out.
	Heads(ctx context.Context, keys []protocol.Key) ([][]byte, error)
	// Learn is told a head that a peer has given. It verifies it; an error with protocol.ErrBackward says that the peer, or the
	// signer, goes back.
	Learn(ctx context.Context, head []byte) error
	// Receive begins or resumes to take in the tree below root. Size is a bound of the bytes of its files; 0 is none.
	Receive(ctx context.Context, root cid.CID, size int64) (Receiver, error)
	// Shared yields all that is to be announced: what is shared with everybody, and nothing else.
	Shared(ctx context.Context) iter.Seq2[Announcement, error]
}

// Appender is a System that can put a block into a buffer which is used again.
type Appender interface {
	// AppendBlock is Block into the room behind buf; it returns buf with the block behind it, in a new place if there was no room.
	// It need not compare the bytes with c: the peer does, and when it says that they were wrong the System is asked for Block.
	AppendBlock(ctx context.Context, c cid.CID, to Asker, buf []byte) ([]byte, error)
}

// block is System.Block for what is here under c, or under the other codec of the same hash: the bytes are the same, and who asks may not
// know how a package has them. What may be given is asked of the System for the name under which it has them.
func block(ctx context.Context, s System, c cid.CID, to Asker) ([]byte, error) {
	b, err := s.Block(ctx, c, to)
	if err == nil {
		return b, nil
	}
	if b, e := s.Block(ctx, otherCodec(c), to); e == nil {
		return b, nil
	}
	return nil, err
}

// otherCodec returns the name that the bytes of c would have as a node if it is a leaf, and as a leaf if it is a node.
func otherCodec(c cid.CID) cid.CID {
	codec := cid.DagPB
	if c.Codec() == cid.DagPB {
		codec = cid.Raw
	}
	other, err := cid.New(codec, c.Digest())
	if err != nil {
		panic("swarm: " + err.Error()) // there is such a codec
	}
	return other
}

// appendBlock is AppendBlock of any System, also under the other codec, as block is.
func appendBlock(ctx context.Context, s System, c cid.CID, to Asker, buf []byte) ([]byte, error) {
	b, err := appendNamed(ctx, s, c, to, buf)
	if err == nil {
		return b, nil
	}
	if b, e := appendNamed(ctx, s, otherCodec(c), to, buf); e == nil {
		return b, nil
	}
	return nil, err
}

func appendNamed(ctx context.Context, s System, c cid.CID, to Asker, buf []byte) ([]byte, error) {
	if a, ok := s.(Appender); ok {
		return a.AppendBlock(ctx, c, to, buf)
	}
	b, err := s.Block(ctx, c, to)
	return append(buf, b...), err
}

// Receiver is the set of operations that Fetch needs of whoever takes in a tree whose blocks come in any order.
type Receiver interface {
	// WantNodes returns nodes that are missing and whose parents are known; at first the root.
	WantNodes() []cid.CID
	// WantLeaves returns, once no node is missing, the leaves that are missing, each once. A root that is a leaf has Size 0 if
	// its size is not known.
	WantLeaves() []cid.Leaf
	// Put takes a wanted block whose bytes were compared with its CID. It does not keep the bytes. Several goroutines call it.
	Put(b cid.Block) error
	// Progress returns how many bytes of leaves are here, of how many; total is 0 while nodes are missing.
	Progress() (done, total int64)
	// Finish is called when all is here: the tree becomes part of the store.
	Finish(ctx context.Context) error
	// Close ends it. What has come stays and is found by the next Receive of the root. It may follow Finish.
	Close() error
}

// A comparedReceiver is a Receiver that need not compare what the swarm has compared: they are one program.
type comparedReceiver interface {
	// PutCompared is Put without a look at the hash.
	PutCompared(b cid.Block) error
}

// put gives r a wanted block whose bytes were compared with its CID.
func put(r Receiver, b cid.Block) error {
	if c, ok := r.(comparedReceiver); ok {
		return c.PutCompared(b)
	}
	return r.Put(b)
}

// Options configure a Swarm. Key and System must be set.
type Options struct {
	// Key is the identity of the node, an ed25519 key. Its peer id and its Key as a signer are the same. Only what
	// MaySign allows is signed with it.
	Key crypto.Signer
	// Prefix is what the protocol ids begin with; "" is protocol.Prefix.
	Prefix string
	System System
	// Listen are the multiaddrs to listen on: TCP and QUIC. None: nobody can call this node.
	Listen []string
	// Bootstrap are nodes to begin with: multiaddrs that end in a peer id.
	Bootstrap []string
	// MDNS finds nodes on the local network, and is found there.
	MDNS bool
	// Relay lets this node be reached through others, and lets others be reached through it.
	Relay bool
	// Connections is how many peers the node is connected to at most; 0 is 200.
	Connections int
	// Up and Down bound the bytes of blocks in a second; 0 is no bound.
	Up, Down int64
	// Dir is where the swarm keeps what it has announced and which peers were of use; "" keeps them in memory.
	Dir string
	// Signers returns whose statements matter; nil is nobody's.
	Signers func() []protocol.Key
	// Admit says why a peer may not be part of this swarm; nil admits everybody. Credential is what the peer has shown, see
	// Options.Credential. Until it is admitted a peer gets no answer from any protocol. What it returns without an error is a
	// newer credential for the peer; nil is none.
	Admit func(key protocol.Key, credential []byte) (renewed []byte, err error)
	// Credential returns what is shown to each peer when Admit is set; at most MaxCredential bytes. Whoever changes it calls
	// Swarm.Renew.
	Credential func() ([]byte, error)
	// Renewed is given newer credentials for this node, from whoever it has shown the one it has; nil takes none.
	Renewed func(credential []byte) error
	// Invited answers who shows an invitation to a mesh: Request is what Join was given. nil answers nobody.
	Invited func(ctx context.Context, key protocol.Key, request []byte) ([]byte, error)
	// Metrics has the swarm's figures; nil has none.
	Metrics prometheus.Registerer
	// Log is for operators; nil discards.
	Log *slog.Logger

	// network replaces the sockets, in tests.
	network []libp2p.Option
	// noDHT leaves the DHT out, in tests on synthetic time: it waits for locks, for which no time passes.
	noDHT bool
}
