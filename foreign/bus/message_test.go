package bus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decode decodes one message at the start of b, and returns the number of its bytes.
func decode(b []byte) (*message, int, error) {
	if len(b) < fixedSize {
		return nil, 0, errTruncated
	}
	f, err := parseFixed((*[fixedSize]byte)(b))
	if err != nil {
		return nil, 0, err
	}
	if len(b) < fixedSize+f.size() {
		return nil, 0, errTruncated
	}
	m, err := f.parse(b[fixedSize : fixedSize+f.size()])
	return m, fixedSize + f.size(), err
}

var sameMessage = cmp.Options{cmp.AllowUnexported(message{}), cmpopts.IgnoreFields(message{}, "order"), cmpopts.EquateEmpty()}

func seeds() (all [][]byte) {
	for _, o := range []order{littleEndian, binary.BigEndian} {
		all = append(all,
			(&message{order: o, kind: kindCall, serial: 1, path: "/a", iface: "a.b", member: "C", destination: "d.e", sender: ":1.2", signature: "su",
				body: o.AppendUint32(pad(appendString(nil, o, "x"), 4), 1)}).encode(),
			(&message{order: o, kind: kindError, flags: 7, serial: 1 << 31, replySerial: 9, errorName: "a.b", destination: ":1.2"}).encode(),
			(&message{order: o, kind: kindSignal, serial: 3, path: "/", iface: "a.b", member: "C", needs: 2}).encode())
	}
	return all
}

// FuzzMessage checks that what the filter sends is what it decided about: a decoded message has the same meaning after encoding, and one form.
func FuzzMessage(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := decode(b)
		if err != nil {
			return
		}
		again := m.encode()
		m2, n, err := decode(again)
		if err != nil || n != len(again) {
			t.Fatalf("the filter's own message: %v", err)
		}
		if d := cmp.Diff(m, m2, sameMessage); d != "" {
			t.Fatal(d)
		}
		if !bytes.Equal(again, m2.encode()) {
			t.Fatal("a message has two forms")
		}
	})
}

// FuzzSession gives a session the messages of a hostile program and of hostile peers, and checks what reaches the bus.
func FuzzSession(f *testing.F) {
	hello := busMessageOf("Hello").encode()
	for _, b := range seeds() {
		f.Add(append(bytes.Clone(hello), b...), b)
	}
	welcome := &message{order: littleEndian, kind: kindReply, serial: 1, replySerial: 1, sender: busName, destination: ":1.5", signature: "s",
		body: appendString(nil, littleEndian, ":1.5")}
	silent := busMessageOf("ListNames")
	silent.iface = ""
	f.Add(append(bytes.Clone(hello), silent.encode()...), welcome.encode())
	f.Add(append(bytes.Clone(hello), busMessageOf("ListNames").encode()...), welcome.encode())
	f.Fuzz(func(t *testing.T, fromClient, fromBus []byte) {
		p := &Policy{Names: map[string]Access{"a.b": Talk, "c.d": See}}
		p.AddPortals()
		s := newSession(p, nil, func(m *message) error {
			if _, _, err := decode(m.encode()); err != nil {
				t.Fatalf("to the program: %v", err)
			}
			m.close()
			return nil
		}, nil)
		s.toBus = func(m *message) error {
			sent, _, err := decode(m.encode())
			if err != nil {
				t.Fatalf("to the bus: %v", err)
			}
			if sent.kind == kindCall && sent.destination == busName && busCalls[sent.member].iface != sent.iface {
				t.Fatalf("%s.%s of the bus was called", sent.iface, sent.member)
			}
			if d := sent.destination; sent.kind == kindCall && !isUnique(d) && d != busName && p.access(d) < Talk && !p.mayCall(d, sent) {
				t.Fatalf("%s was called", d)
			}
			m.close()
			return nil
		}
		s.end() // hello waits for nothing
		for len(fromClient)+len(fromBus) > 0 {
			for _, side := range []struct {
				b      *[]byte
				decide func(*message) error
			}{{&fromClient, s.fromClient}, {&fromBus, s.fromBus}} {
				m, n, err := decode(*side.b)
				if err != nil {
					*side.b = nil
					continue
				}
				*side.b = (*side.b)[n:]
				if side.decide(m) != nil {
					return
				}
			}
		}
	})
}

func busMessageOf(member string) *message {
	return &message{order: littleEndian, kind: kindCall, serial: 1, path: busPath, iface: busName, member: member, destination: busName}
}

func TestSkip(t *testing.T) {
	for sig, ok := range map[string]bool{
		"y": true, "as": true, "a{sv}": true, "(i(ss))": true, "aaaay": true, "v": true,
		"": false, "a": false, "()": false, "(": false, "{sv}": false, "a{vs}": false, "a{s}": false, "a{svv}": false, "z": false,
		strings.Repeat("a", 64) + "y": true, strings.Repeat("a", 65) + "y": false, strings.Repeat("(", 70) + "y" + strings.Repeat(")", 70): false,
	} {
		if _, rest, err := firstType(sig, 0); (err == nil && rest == "") != ok {
			t.Errorf("%q: got %q, %v", sig, rest, err)
		}
	}
	// A variant in a variant, and so on.
	deep := bytes.Repeat([]byte{1, 'v', 0}, 1000)
	if err := (&cursor{b: deep, order: littleEndian}).skip("v", 0); err == nil || errors.Is(err, errTruncated) {
		t.Errorf("deep variants: got %v", err)
	}
}

// TestFewCredentials checks that a descriptor of a process, which newer buses add, does not reach the program.
func TestFewCredentials(t *testing.T) {
	o := littleEndian
	entry := func(b []byte, key, sig string, n uint32) []byte {
		return o.AppendUint32(pad(appendSignature(appendString(pad(b, 8), o, key), sig), 4), n)
	}
	all := entry(entry(entry(make([]byte, 8), "ProcessFD", "h", 0), "UnixUserID", "u", 1000), "ProcessID", "u", 7)
	o.PutUint32(all, uint32(len(all)-8))
	want := entry(entry(make([]byte, 8), "UnixUserID", "u", 1000), "ProcessID", "u", 7)
	o.PutUint32(want, uint32(len(want)-8))
	got, err := fewCredentials(&message{order: o, signature: "a{sv}", body: all})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for n := range all {
		if _, err := fewCredentials(&message{order: o, signature: "a{sv}", body: all[:n]}); err == nil {
			t.Errorf("%d bytes were accepted", n)
		}
	}
}

// TestEavesdropped checks the second wall behind the refusal of rules that eavesdrop: messages to others do not reach the program.
func TestEavesdropped(t *testing.T) {
	s := newSession(policyOf("a.b", Own), nil, func(m *message) error {
		t.Errorf("a message to %s reached the program", m.destination)
		return nil
	}, nil)
	s.unique = ":1.5"
	for _, to := range []string{":1.6", "c.d", busName} {
		for _, kind := range []byte{kindCall, kindSignal, kindReply, kindError} {
			m := &message{order: littleEndian, kind: kind, serial: 1, replySerial: 1, path: "/", iface: "a.b", member: "C", errorName: "e.f", sender: ":1.7", destination: to}
			if err := s.fromBus(m); err != nil {
				t.Error(err)
			}
		}
	}
}

func policyOf(name string, a Access) *Policy { return &Policy{Names: map[string]Access{name: a}} }

// TestTooManyCalls checks the bound on calls in progress, in both directions.
func TestTooManyCalls(t *testing.T) {
	var toClient, toBus int
	s := newSession(policyOf("a.b", Talk), nil, func(m *message) error { toClient++; return nil }, func(m *message) error { toBus++; return nil })
	s.unique, s.greeted = ":1.5", true
	for n := range uint32(maxCalls + 10) {
		if err := s.fromClient(&message{order: littleEndian, kind: kindCall, serial: n + 1, path: "/", member: "C", destination: "a.b"}); err != nil {
			t.Fatal(err)
		}
	}
	if toBus != maxCalls || toClient != 10 || len(s.pending) != maxCalls {
		t.Errorf("got %d calls, %d refusals, want %d and 10", toBus, toClient, maxCalls)
	}
	toClient, toBus = 0, 0
	for n := range uint32(maxCalls + 10) {
		if err := s.fromBus(&message{order: littleEndian, kind: kindCall, serial: n + 1, path: "/", member: "C", sender: ":1.6", destination: ":1.5"}); err != nil {
			t.Fatal(err)
		}
	}
	if toClient != maxCalls || toBus != 10 || len(s.served) != maxCalls {
		t.Errorf("got %d calls of peers, %d refusals, want %d and 10", toClient, toBus, maxCalls)
	}
	if err := s.fromClient(busMessageOf("Hello")); err != nil {
		t.Fatal(err)
	}
	for range maxRules + 10 {
		m := busMessageOf("AddMatch")
		m.signature, m.body, m.flags = "s", appendString(nil, littleEndian, "member='X'"), 0
		clear(s.pending)
		if err := s.fromClient(m); err != nil {
			t.Fatal(err)
		}
	}
	if s.added != maxRules {
		t.Errorf("got %d match rules, want %d", s.added, maxRules)
	}
}
