package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// The binary form of a ticket begins with its version and a byte of flags, one for each field that is present.
// The fields follow in the order of the flags, then the addresses up to the end.
const (
	// ticketVersion differs from the first byte of version 1, which is a brace.
	ticketVersion = 2

	flagPID       = 1 << 0 // 32 bytes
	flagCID       = 1 << 1 // length and binary CID
	flagNode      = 1 << 2 // 32 bytes
	flagRight     = 1 << 3 // length and bytes
	flagMesh      = 1 << 4 // length and text
	flagPublished = 1 << 5 // length and text KIND/NAME; length and keys, 32 bytes each
)

// An address begins with a byte of flags. Then follow an IP address (unless it is the previous one) and a port, or a length and a text.
const (
	addrText = 0
	addrTCP  = 1 << 0 // /tcp/PORT
	addrQUIC = 1 << 1 // /udp/PORT/quic-v1
	addrIP4  = 1 << 2 // the IP address is version 4, otherwise version 6
	addrSame = 1 << 3 // the IP address is that of the previous address
)

var errTicket = errors.New("it is cut off, or malformed")

func (t *Ticket) encode() []byte {
	b := []byte{ticketVersion, 0}
	put := func(flag byte, there, sized bool, field []byte) {
		if !there {
			return
		}
		b[1] |= flag
		if sized {
			b = binary.AppendUvarint(b, uint64(len(field)))
		}
		b = append(b, field...)
	}
	put(flagPID, !t.PID.IsZero(), false, t.PID[:])
	put(flagCID, !t.CID.IsZero(), true, t.CID.Bytes())
	put(flagNode, !t.Node.IsZero(), false, t.Node[:])
	put(flagRight, len(t.Right) > 0, true, t.Right)
	put(flagMesh, t.Mesh != "", true, []byte(t.Mesh))
	if t.Kind != "" {
		put(flagPublished, true, true, []byte(string(t.Kind)+"/"+t.Name))
		b = binary.AppendUvarint(b, uint64(len(t.Signers)*len(Key{})))
		for _, k := range t.Signers {
			b = append(b, k[:]...)
		}
	}
	var last netip.Addr
	for _, a := range t.Addresses {
		ip, port, kind := splitAddress(a)
		if kind == addrText {
			b = append(b, addrText)
			b = binary.AppendUvarint(b, uint64(len(a)))
			b = append(b, a...)
			continue
		}
		if ip == last {
			b = append(b, kind|addrSame)
		} else {
			b = append(append(b, kind), ip.AsSlice()...)
		}
		b, last = binary.BigEndian.AppendUint16(b, port), ip
	}
	return b
}

// splitAddress parses a multiaddr of the common shape in its usual spelling. For any other, the kind is addrText.
func splitAddress(a string) (ip netip.Addr, port uint16, kind byte) {
	parts := strings.Split(a, "/")
	if len(parts) < 5 {
		return ip, 0, addrText
	}
	ip, err := netip.ParseAddr(parts[2])
	n, err2 := strconv.ParseUint(parts[4], 10, 16)
	if err != nil || err2 != nil || ip.Zone() != "" || ip.Is4In6() {
		return ip, 0, addrText
	}
	kind = addrTCP
	if parts[3] == "udp" {
		kind = addrQUIC
	}
	if ip.Is4() {
		kind |= addrIP4
	}
	if joinAddress(ip, uint16(n), kind) != a {
		return ip, 0, addrText
	}
	return ip, uint16(n), kind
}

func joinAddress(ip netip.Addr, port uint16, kind byte) string {
	version, rest := "ip6", fmt.Sprintf("tcp/%d", port)
	if kind&addrIP4 != 0 {
		version = "ip4"
	}
	if kind&addrQUIC != 0 {
		rest = fmt.Sprintf("udp/%d/quic-v1", port)
	}
	return "/" + version + "/" + ip.String() + "/" + rest
}

// decodeTicket reads the binary form. It accepts several encodings of one ticket; ParseTicket encodes the result again and refuses all but one.
func decodeTicket(b []byte) (*Ticket, error) {
	t, flags, rest := &Ticket{}, byte(0), b
	take := func(n int) []byte {
		if n < 0 || n > len(rest) {
			rest = nil
			return nil
		}
		field := rest[:n]
		rest = rest[n:]
		return field
	}
	sized := func(most uint64) []byte {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > most {
			rest = nil
			return nil
		}
		rest = rest[used:]
		return take(int(n)) //nolint:gosec // it is at most most
	}
	head := take(2)
	if len(head) < 2 || head[0] != ticketVersion {
		return nil, errTicket
	}
	flags = head[1]
	if flags&flagPID != 0 {
		field := take(len(t.PID))
		if field == nil {
			return nil, errTicket
		}
		t.PID = pir.PID(field)
	}
	if flags&flagCID != 0 {
		c, err := cid.FromBytes(sized(64))
		if err != nil {
			return nil, err
		}
		t.CID = c
	}
	if flags&flagNode != 0 {
		if len(rest) < len(t.Node) {
			return nil, errTicket
		}
		t.Node = Key(take(len(t.Node)))
	}
	if flags&flagRight != 0 {
		t.Right = slices.Clone(sized(64))
	}
	if flags&flagMesh != 0 {
		t.Mesh = string(sized(maxTicket))
	}
	if flags&flagPublished != 0 && !t.setPublished(sized(80), sized(uint64(MaxPublishedKeys*len(Key{})))) {
		return nil, errTicket
	}
	var last netip.Addr
	for len(rest) > 0 {
		if len(t.Addresses) == maxAddresses {
			return nil, errors.New("it has more addresses than a ticket may, or too long a right")
		}
		kind := take(1)[0]
		if kind == addrText {
			t.Addresses = append(t.Addresses, string(sized(maxTicket)))
			continue
		}
		ip := last
		if kind&addrSame == 0 {
			n := 16
			if kind&addrIP4 != 0 {
				n = 4
			}
			ip, _ = netip.AddrFromSlice(take(n))
		}
		port := take(2)
		if !ip.IsValid() || port == nil {
			return nil, errTicket
		}
		t.Addresses, last = append(t.Addresses, joinAddress(ip, binary.BigEndian.Uint16(port), kind)), ip
	}
	return t, nil
}

// setPublished sets what a ticket says about a feed or a package set, and reports whether it is right.
func (t *Ticket) setPublished(what, keys []byte) bool {
	kind, name, _ := strings.Cut(string(what), "/")
	t.Kind, t.Name = PublishedKind(kind), name
	if t.Kind != PublishedFeed && t.Kind != PublishedSet || !IsSetName(name) || len(keys) == 0 || len(keys)%len(Key{}) != 0 {
		return false
	}
	for k := range slices.Chunk(keys, len(Key{})) {
		t.Signers = append(t.Signers, Key(k))
	}
	return true
}
