package netd

import (
	"encoding/binary"
	"errors"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Arg is the argument that makes the daemon's program a net daemon; the name of the membership follows.
const Arg = "net"

// The calls of the system daemon, each with its arguments → its result. A call without a comment has neither.
const (
	callBegin      = "begin" // beginArgs → begun; the first call, once
	callStatements = "statements"
	callPIRs       = "pirs"  // statementsArgs → lines
	callFetch      = "fetch" // fetchArgs, with progress as news
	callAnnounce   = "announce"
	callPeers      = "peers"   // → []protocol.Peer
	callStatus     = "status"  // → protocol.SwarmStatus
	callConnect    = "connect" // addressArgs
	callJoin       = "join"    // addressArgs, the request → the answer
	callRenew      = "renew"
	callTell       = "tell"   // the head
	callGather     = "gather" // → []figure
	callPing       = "ping"
)

// The calls of the net daemon: those of swarm.System, and of the functions of swarm.Options.
const (
	callBlock      = "block" // blockArgs → the block
	callHeads      = "heads"
	callPublished  = "published"       // headsArgs → lines; the system daemon makes this call, too
	callPIR        = "pir"             // statementsArgs with one PID → the PIR
	callLearn      = "learn"           // the head
	callLearnNew   = "learn-published" // the head of a feed or a package set
	callShared     = "shared"          // → announcements
	callSigners    = "signers"         // → []protocol.Key
	callSign       = "sign"            // the message → the signature
	callCredential = "credential"      // → the credential
	callAdmit      = "admit"           // keyArgs, the credential → a newer one, or nothing
	callRenewed    = "renewed"         // a newer credential
	callInvited    = "invited"         // keyArgs, the request → the answer
	callLog        = "log"             // logArgs

	callReceive    = "receive" // fetchArgs → receiverArgs
	callWantNodes  = "want-nodes"
	callWantLeaves = "want-leaves" // receiverArgs → leaves from the given position on; none at the end
	callPut        = "put"         // putArgs, the block
	callProgress   = "progress"    // receiverArgs → progress
	callFinish     = "finish"
	callClose      = "close"
)

// beginArgs are the fields of swarm.Options that are not functions.
type beginArgs struct {
	Key         protocol.Key
	Prefix      string
	Listen      []string
	Bootstrap   []string
	MDNS, Relay bool
	Connections int
	Up, Down    int64
	Admits      bool // Options.Admit is set
	Invites     bool // Options.Invited is set
	Measures    bool // Options.Metrics is set
	LogLevel    int
}

// begun has the addresses at which the net daemon listens, so that the next one listens there too.
type begun struct{ Listening []string }

type statementsArgs struct {
	PIDs      []pir.PID
	Requester routing.Requester `json:"Asker"`
}

// lines are statements, heads or PIRs, in their canonical bytes.
type lines struct{ Lines [][]byte }

type fetchArgs struct {
	Root cid.CID
	Size int64
}

type progress struct{ Done, Total int64 }

type addressArgs struct{ Address string }

type blockArgs struct {
	CID       cid.CID
	Requester routing.Requester `json:"Asker"`
}

type headsArgs struct{ Keys []protocol.Key }

type keyArgs struct{ Key protocol.Key }

type logArgs struct {
	Level   int
	Message string
	Attrs   map[string]string
}

// receiverArgs name a tree that is being received, and one of its leaves.
type receiverArgs struct {
	ID   int64
	From int `json:",omitempty"`
}

type putArgs struct {
	ID  int64
	CID cid.CID
}

type cids struct{ CIDs []cid.CID }

// A figure is one metric of a swarm.
type figure struct {
	Name, Help string
	Counter    bool
	Value      float64
	Labels     map[string]string
}

// pidSize is the length of a PID in bytes. A CID has its own length, which is 0 for the zero CID.
const pidSize = 32

var errShort = errors.New("it ends too early")

// appendAnnouncement appends an announcement in bytes.
func appendAnnouncement(b []byte, a routing.Announcement) []byte {
	b = append(append(b, a.PID[:]...), a.Signer[:]...)
	return appendCID(b, a.Root)
}

func readAnnouncement(b []byte) (a routing.Announcement, rest []byte, err error) {
	if len(b) < pidSize+len(a.Signer) {
		return a, nil, errShort
	}
	a.PID = pir.PID(b[:pidSize])
	b = b[pidSize:]
	a.Signer = protocol.Key(b[:len(a.Signer)])
	a.Root, rest, err = readCID(b[len(a.Signer):])
	return a, rest, err
}

// maxLeaves bounds the leaves in one answer.
const maxLeaves = 1 << 19

func appendLeaf(b []byte, l cid.Leaf) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(l.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(l.Size))
	return appendCID(b, l.CID)
}

func readLeaf(b []byte) (l cid.Leaf, rest []byte, err error) {
	if len(b) < 16 {
		return l, nil, errShort
	}
	l.Offset, l.Size = int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint64(b[8:]))
	l.CID, rest, err = readCID(b[16:])
	return l, rest, err
}

func appendCID(b []byte, c cid.CID) []byte {
	if c.IsZero() {
		return append(b, 0)
	}
	bytes := c.Bytes()
	return append(append(b, byte(len(bytes))), bytes...)
}

func readCID(b []byte) (c cid.CID, rest []byte, err error) {
	if len(b) == 0 || len(b) <= int(b[0]) {
		return c, nil, errShort
	}
	n := int(b[0])
	if n > 0 {
		c, err = cid.FromBytes(b[1 : 1+n])
	}
	return c, b[1+n:], err
}
