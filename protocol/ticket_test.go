package protocol

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

func sampleTicket() *Ticket {
	return &Ticket{
		PID: pir.Sum([]byte("a")), CID: cid.Sum(cid.DagPB, []byte("b")), Node: KeyOf(key(1)),
		Addresses: []string{"/ip4/192.0.2.1/udp/4001/quic-v1"}, Right: []byte("secret"), Mesh: "team",
	}
}

// TestTicketFirst checks that tickets of version 1, which are still in use, can be read; they are no longer written.
func TestTicketFirst(t *testing.T) {
	text, err := os.ReadFile("testdata/ticket.txt")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseTicket(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sampleTicket(), got, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got.String() == string(text) {
		t.Error("a ticket is written as the first version")
	}
}

func TestTicket(t *testing.T) {
	ticket := sampleTicket()
	// Addresses for each encoding: of the common shape, with the host of the address before, and of no common shape.
	ticket.Addresses = append(ticket.Addresses, "/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/udp/4001/quic-v1", "/ip6/2001:db8::1/tcp/65535",
		"/dns4/node.example/tcp/4001", "/ip4/192.0.2.1/tcp/04001", "/ip4/192.0.2.1/udp/1", "/ip6/::ffff:192.0.2.1/tcp/1", "/ip6/fe80::1%eth0/tcp/1", "")
	text := func() ([]byte, error) { return []byte(ticket.String()), nil }
	vector(t, "ticket-2.txt", text, func(b []byte) (any, error) { return ParseTicket(string(b)) }, ticket)
	first := ticket.first()
	for _, s := range []string{ticket.String(), first} {
		for _, bad := range []string{"", "nuka-", "nuka-aaaaaaa", s[:len(s)-1], s + "a", strings.ToUpper(s), s[:20] + "x" + s[21:], " " + s, strings.Repeat("nuka-", 10_000)} {
			if _, err := ParseTicket(bad); err == nil {
				t.Errorf("%.30q parses", bad)
			}
		}
	}
	many := &Ticket{Addresses: make([]string, maxAddresses+1)}
	if _, err := ParseTicket(many.String()); err == nil {
		t.Error("a ticket with too many addresses parses")
	}
}

// TestTicketForm checks that each ticket has one text form: another form of the same content is refused, and so is a ticket with a cut or flipped byte.
func TestTicketForm(t *testing.T) {
	b := sampleTicket().encode()
	for i := range b {
		if _, err := ParseTicket(ticketOf(append([]byte{}, b[:i]...))); err == nil && i > 1 && i < len(b)-8 {
			t.Errorf("the first %d bytes parse", i)
		}
	}
	same := (&Ticket{Addresses: []string{"/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2"}}).encode()
	long := append([]byte{}, same[:9]...)
	long = append(long, addrTCP|addrIP4, 192, 0, 2, 1, 0, 2)
	for name, bad := range map[string][]byte{
		"the host said twice":    long,
		"no host before":         {ticketVersion, 0, addrTCP | addrIP4 | addrSame, 0, 1},
		"an unknown flag":        {ticketVersion, 1 << 7},
		"an empty field":         {ticketVersion, flagMesh, 0},
		"both protocols":         {ticketVersion, 0, addrTCP | addrQUIC | addrIP4, 1, 2, 3, 4, 0, 1},
		"a long length":          {ticketVersion, flagMesh, 0x81, 0x00, 'a'},
		"a length beyond all":    {ticketVersion, flagMesh, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"a text of common shape": append([]byte{ticketVersion, 0, addrText, 20}, "/ip4/192.0.2.1/tcp/1"...),
	} {
		if got, err := ParseTicket(ticketOf(bad)); err == nil {
			t.Errorf("%s: parses as %+v", name, got)
		}
	}
}

// TestTicketLength checks that a ticket with two hosts and two addresses each is shorter than 300 characters, because users paste tickets into chats.
func TestTicketLength(t *testing.T) {
	ticket := sampleTicket()
	ticket.Right, ticket.Mesh = nil, ""
	ticket.Addresses = []string{
		"/ip4/192.168.178.23/udp/4717/quic-v1", "/ip4/192.168.178.23/tcp/4717", "/ip4/203.0.113.7/udp/4717/quic-v1", "/ip4/203.0.113.7/tcp/4717",
		"/ip6/2001:db8:1234:5678:9abc:def0:1234:5678/udp/4717/quic-v1", "/ip6/2001:db8:1234:5678:9abc:def0:1234:5678/tcp/4717",
	}
	if n := len(ticket.String()); n >= 300 {
		t.Errorf("%d characters", n)
	}
}

func FuzzTicket(f *testing.F) {
	f.Add((&Ticket{Mesh: "a"}).encode())
	f.Add(sampleTicket().encode())
	f.Add((&Ticket{Addresses: []string{"/ip6/::1/tcp/1", "/ip6/::1/udp/1/quic-v1", "x"}}).encode())
	f.Add([]byte(`{ticket: 1, mesh: a}`))
	f.Add((&Ticket{Kind: PublishedSet, Name: "a", Signers: []Key{KeyOf(key(2))}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		text := ticketOf(b)
		ticket, err := ParseTicket(text)
		if err != nil {
			return
		}
		again, err := ParseTicket(ticket.String())
		if err != nil {
			t.Fatalf("%+v is written as what does not parse: %v", ticket, err)
		}
		if again.String() != ticket.String() {
			t.Errorf("%+v is read back as %+v", ticket, again)
		}
		if b[0] == ticketVersion && ticket.String() != text {
			t.Errorf("ticket %q is written as %q", text, ticket)
		}
	})
}

// TestPublishedTicket has tickets of feeds and package sets, whose form is frozen.
func TestPublishedTicket(t *testing.T) {
	ticket := &Ticket{Node: KeyOf(key(1)), Addresses: []string{"/ip4/192.0.2.1/tcp/4001"}, Kind: PublishedFeed, Name: "mine", Signers: []Key{KeyOf(key(2)), KeyOf(key(3))}}
	vector(t, "ticket-feed.txt", func() ([]byte, error) { return []byte(ticket.String()), nil }, func(b []byte) (any, error) { return ParseTicket(string(b)) }, ticket)
	for name, change := range map[string]func(*Ticket){
		"another kind": func(t *Ticket) { t.Kind = "path" },
		"no name":      func(t *Ticket) { t.Name = "" },
		"a wrong name": func(t *Ticket) { t.Name = "../x" },
		"no signer":    func(t *Ticket) { t.Signers = nil },
		"too many":     func(t *Ticket) { t.Signers = make([]Key, MaxPublishedKeys+1) },
	} {
		bad := *ticket
		change(&bad)
		if got, err := ParseTicket(bad.String()); err == nil {
			t.Errorf("%s: parses as %+v", name, got)
		}
	}
}

// TestDecodePublished reads the frozen heads of both kinds, and nothing else.
func TestDecodePublished(t *testing.T) {
	for file, want := range map[string]string{"feed-head.nuon": "feed", "set-head.nuon": "set", "feed-head-revoked.nuon": "feed", "head.nuon": "", "attestation.nuon": ""} {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		b = []byte(strings.TrimSuffix(string(b), "\n"))
		p, err := DecodePublished(b)
		if want == "" {
			if err == nil {
				t.Errorf("%s is a head of a %s", file, p.Kind)
			}
			continue
		}
		if err != nil || string(p.Kind) != want || string(p.Text) != string(b) || p.Revoked != strings.Contains(file, "revoked") || p.Number < 1 || p.Name == "" || p.Signer.IsZero() {
			t.Errorf("%s: got %+v, %v", file, p, err)
		}
		b[len(b)/2] ^= 1
		if _, err := DecodePublished(b); err == nil {
			t.Errorf("%s with a changed byte is a head", file)
		}
	}
}
