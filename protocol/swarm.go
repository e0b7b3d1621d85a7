package protocol

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// Prefix is the prefix of the public swarm's protocol ids. A mesh has its own, see MeshPrefix.
const Prefix = "/nuka"

// The protocols of a swarm, without the prefix.
const (
	AttProtocol  = "/att/1"  // attestations about PIDs
	WantProtocol = "/want/1" // blocks
	HintProtocol = "/hint/1" // a signer's newest head, sent unasked
	PIRProtocol  = "/pir/1"  // PIRs of packages
	// PublishedProtocol has the heads of feeds and package sets.
	PublishedProtocol = "/published/1"
	JoinProtocol      = "/join/1" // an invitation to a mesh, presented in the public swarm
	// MemberProtocol is used in a mesh only, before any other protocol: each peer presents its credential.
	MemberProtocol = "/member/1"
)

// Limits of the protocols of a swarm.
const (
	// MaxAsked bounds the PIDs, keys or blocks of one request.
	MaxAsked = 512
	// MaxBlock bounds a block in bytes; it is the interoperable bound of IPFS.
	MaxBlock = 2 << 20
	// MaxJoin bounds the request and the answer of JoinProtocol in bytes.
	MaxJoin = 64 << 10
	// MaxStatements bounds the statements about one PID in an answer.
	MaxStatements = 256
	// MaxLines bounds the bytes of the lines of one answer.
	MaxLines = 2 << 20
	// MaxNodes bounds the bytes of nodes in the answer to one AskNodes. The requester asks again for the rest, by its roots.
	MaxNodes = 64 << 20
)

const (
	// MaxPIRAsked bounds the PIDs of one request of PIRProtocol.
	MaxPIRAsked = 64
	// MaxPIRs bounds the bytes of PIRs in the answer to one request, before compression. The requester asks again for the rest.
	MaxPIRs = 8 << 20
)

// WrongBytes is the code with which a requester resets a stream of WantProtocol after it received bytes that do not match the block's hash.
const WrongBytes = 1

// MaxAnswer bounds the bytes of the answer to a request for statements about n PIDs, or for n heads.
func MaxAnswer(n int) int { return 2<<20 + n*16<<10 }

// An Ask is the kind of a request of a swarm.
type Ask byte

// The kinds of requests. Each is followed by a list of items.
// The answers to AskStatements, AskHeads, AskPublished and AskNodes end in End. AskBlocks and AskSmall have one answer for each block,
// AskParts has one.
// The answers to AskStatements, AskHeads and AskPublished hold lines, one statement or head each. A line ends in "\n" and contains no other "\n".
const (
	AskStatements Ask = 1 // att: PIDs → attestations about them
	AskHeads      Ask = 2 // att: keys → the newest head of each
	AskNodes      Ask = 3 // want: roots → for each its nodes, breadth first and each once; Missing for a node that the responder lacks
	AskBlocks     Ask = 4 // want: blocks → each, in order
	AskSmall      Ask = 5 // want: like AskBlocks; compressed if that helps
	AskParts      Ask = 6 // want: a root → one Plain with changes of its leaves, see Part; Missing if the responder is not fetching it
	AskPIRs       Ask = 7 // pir: PIDs, at most MaxPIRAsked → the canonical PIR of each, in order; End after MaxPIRs bytes
	AskPublished  Ask = 8 // published: keys → the newest heads of feeds and package sets of each
)

// width returns the size of an item in a request of the kind.
func (a Ask) width() int {
	switch a {
	case AskStatements, AskPIRs:
		return len(pir.PID{})
	case AskHeads, AskPublished:
		return len(Key{})
	case AskNodes, AskBlocks, AskSmall, AskParts:
		return cid.Size
	}
	return 0
}

// WriteAsk writes a request: its kind in one byte, the number of items in a uvarint, and the items.
func WriteAsk(w io.Writer, kind Ask, items [][]byte) error {
	if len(items) > MaxAsked {
		return fmt.Errorf("ask for %d things: at most %d", len(items), MaxAsked)
	}
	b := binary.AppendUvarint([]byte{byte(kind)}, uint64(len(items)))
	for _, item := range items {
		if len(item) != kind.width() {
			return fmt.Errorf("ask: an item of %d bytes, want %d", len(item), kind.width())
		}
		b = append(b, item...)
	}
	_, err := w.Write(b)
	return err
}

// ReadAsk reads a request. It returns io.EOF if the stream has ended.
func ReadAsk(r *bufio.Reader) (Ask, [][]byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	kind := Ask(first)
	if kind.width() == 0 {
		return 0, nil, fmt.Errorf("ask: unknown kind %d", first)
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > MaxAsked {
		return 0, nil, fmt.Errorf("ask: %d things, at most %d (%w)", n, MaxAsked, noEOF(err))
	}
	flat := make([]byte, int(n)*kind.width())
	if _, err := io.ReadFull(r, flat); err != nil {
		return 0, nil, fmt.Errorf("ask: %w", noEOF(err))
	}
	items := make([][]byte, n)
	for i := range items {
		items[i] = flat[i*kind.width() : (i+1)*kind.width()]
	}
	return kind, items, nil
}

// An Encoding is the encoding of an answer's bytes.
type Encoding byte

// The encodings of an answer.
const (
	End     Encoding = 0 // nothing follows
	Plain   Encoding = 1 // the bytes
	Zstd    Encoding = 2 // a zstd frame (RFC 8878) of the bytes
	Missing Encoding = 3 // the responder does not have it; no bytes follow
)

// WriteAnswer writes one answer: its encoding in one byte, and for Plain and Zstd the length in a uvarint and the bytes.
func WriteAnswer(w *bufio.Writer, e Encoding, b []byte) error {
	if err := BeginAnswer(w, e, len(b)); err != nil || e == End || e == Missing {
		return err
	}
	_, err := w.Write(b)
	return err
}

// BeginAnswer writes the part of an answer before the bytes, which the caller writes.
func BeginAnswer(w *bufio.Writer, e Encoding, size int) error {
	if err := w.WriteByte(byte(e)); err != nil || e == End || e == Missing {
		return err
	}
	var n [binary.MaxVarintLen64]byte
	_, err := w.Write(n[:binary.PutUvarint(n[:], uint64(size))])
	return err
}

// ReadAnswer reads one answer into buf, which grows up to most bytes. The returned slice shares memory with buf.
func ReadAnswer(r *bufio.Reader, buf []byte, most int) (Encoding, []byte, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, nil, fmt.Errorf("answer: %w", noEOF(err))
	}
	e := Encoding(first)
	if e == End || e == Missing {
		return e, nil, nil
	}
	if e != Plain && e != Zstd {
		return 0, nil, fmt.Errorf("answer: unknown encoding %d", first)
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return 0, nil, fmt.Errorf("answer: %w", noEOF(err))
	}
	if n > uint64(most) {
		return 0, nil, fmt.Errorf("answer: %d bytes are more than %d", n, most)
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, fmt.Errorf("answer: %w", noEOF(err))
	}
	return e, buf[:n], nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// StatementsKey returns the key in the DHT under which nodes announce that they have statements about a PID.
func StatementsKey(p pir.PID) [32]byte { return derive("nuka dht statements 1", p[:]) }

// ContentKey returns the key in the DHT under which nodes announce that they have the whole content of a root.
func ContentKey(c cid.CID) [32]byte { return derive("nuka dht content 1", c.Bytes()) }

func derive(context string, material []byte) (out [32]byte) {
	blake3.DeriveKey(context, material, out[:])
	return out
}
