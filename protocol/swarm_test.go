package protocol

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// vector compares the output of encode with a file of testdata, and what decode returns for that file with want.
func vector(t *testing.T, name string, encode func() ([]byte, error), decode func([]byte) (any, error), want any) {
	t.Helper()
	got, err := encode()
	if err != nil {
		t.Fatal(err)
	}
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	frozen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(frozen), string(got)); d != "" {
		t.Errorf("%s (-want +got)\n%s", name, d)
	}
	back, err := decode(frozen)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, back, cmp.Comparer(func(a, b cid.CID) bool { return a == b })); d != "" {
		t.Errorf("%s: round trip (-want +got)\n%s", name, d)
	}
}

func sampleHead(t testing.TB, number int64, change func(*Head)) *Head {
	h := &Head{Number: number, Root: cid.Sum(cid.Raw, []byte("list")), Issued: now, Expires: now.Add(HeadLifetime)}
	if change != nil {
		change(h)
	}
	if err := h.Sign(key(1)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHead(t *testing.T) {
	h := sampleHead(t, 3, nil)
	vector(t, "head.nuon", h.Encode, func(b []byte) (any, error) { return DecodeHead(b) }, h)
	last := sampleHead(t, 4, func(h *Head) { h.Revoked, h.Next = true, KeyOf(key(2)) })
	vector(t, "head-revoked.nuon", last.Encode, func(b []byte) (any, error) { return DecodeHead(b) }, last)

	other := sampleHead(t, 3, func(h *Head) { h.Root = cid.CID{} })
	for _, c := range []struct {
		name     string
		h, old   *Head
		replaces bool
		back     bool
	}{
		{"first", h, nil, true, false},
		{"again", h, h, false, false},
		{"newer", last, h, true, false},
		{"older", sampleHead(t, 2, nil), h, false, true},
		{"two of a number", other, h, false, true},
		{"after the last word", sampleHead(t, 5, nil), last, false, true},
	} {
		replaces, err := c.h.After(c.old)
		if replaces != c.replaces || errors.Is(err, ErrBackward) != c.back {
			t.Errorf("%s: got %t, %v; want %t, backward %t", c.name, replaces, err, c.replaces, c.back)
		}
	}
	for at, want := range map[time.Duration]bool{0: true, HeadLifetime: false, -MaxSkew + time.Second: true, -MaxSkew: false} {
		if got := h.Fresh(now.Add(at)); got != want {
			t.Errorf("fresh at %v: got %t", at, got)
		}
	}
	for name, change := range map[string]func(*Head){
		"number":    func(h *Head) { h.Number++ },
		"root":      func(h *Head) { h.Root = cid.Sum(cid.Raw, nil) },
		"expires":   func(h *Head) { h.Expires = h.Expires.Add(time.Second) },
		"revoked":   func(h *Head) { h.Revoked = true },
		"signer":    func(h *Head) { h.Signer = KeyOf(key(2)) },
		"signature": func(h *Head) { h.Signature[0]++ },
	} {
		h := *h
		change(&h)
		if b, err := h.Encode(); err != nil {
			t.Errorf("%s changed: %v", name, err)
		} else if _, err := DecodeHead(b); err == nil {
			t.Errorf("%s changed: it still decodes", name)
		}
	}
	// A signature over a head does not verify for an attestation, nor the other way round.
	claim, err := claimOf(headDomain, h)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(claim, []byte(headDomain)) || headDomain == attestationDomain {
		t.Error("heads are not separated from other signatures")
	}
}

func TestStatements(t *testing.T) {
	list := []Attestation{said(t, 2, "b", "x", 0), said(t, 1, "a", "x", 0), said(t, 1, "b", "x", 0), said(t, 1, "a", "x", 0)}
	var b bytes.Buffer
	if err := EncodeStatements(&b, list); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSuffix(b.Bytes(), []byte("\n")), []byte("\n"))
	var before []byte
	for _, line := range lines {
		a, err := DecodeAttestation(line)
		if err != nil {
			t.Fatal(err)
		}
		key := append(a.PID[:], a.Signer[:]...)
		if bytes.Compare(before, key) >= 0 {
			t.Errorf("%x stands before %x", before, key)
		}
		before = key
	}
	if len(lines) != 3 {
		t.Errorf("got %d statements, want 3", len(lines))
	}
}

func TestAsk(t *testing.T) {
	var b bytes.Buffer
	items := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	if err := WriteAsk(&b, AskStatements, items); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(&b)
	kind, got, err := ReadAsk(r)
	if err != nil || kind != AskStatements || !cmp.Equal(got, items) {
		t.Errorf("got %d, %x, %v", kind, got, err)
	}
	if _, _, err := ReadAsk(r); err != io.EOF {
		t.Errorf("after the last: got %v, want EOF", err)
	}
	for _, bad := range [][]byte{{0}, {9, 1}, {1}, {1, 1, 2}, {1, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if _, _, err := ReadAsk(bufio.NewReader(bytes.NewReader(bad))); err == nil || err == io.EOF {
			t.Errorf("%x: got %v", bad, err)
		}
	}
	for kind := AskStatements; kind <= AskPIRs; kind++ {
		want := [][]byte{bytes.Repeat([]byte{byte(kind)}, kind.width())}
		b.Reset()
		if err := WriteAsk(&b, kind, want); err != nil {
			t.Fatal(err)
		}
		r.Reset(&b)
		if got, items, err := ReadAsk(r); err != nil || got != kind || !cmp.Equal(items, want) {
			t.Errorf("kind %d: got %d, %x, %v", kind, got, items, err)
		}
	}
	if err := WriteAsk(io.Discard, AskBlocks, make([][]byte, MaxAsked+1)); err == nil {
		t.Error("more than MaxAsked are asked for")
	}
}

// TestPIRExchange compares the bytes of an exchange about PIRs with frozen ones: nodes of different versions must write the same.
func TestPIRExchange(t *testing.T) {
	lib := &pir.PIR{Kind: pir.Data, Name: "lib", Data: int64(7)}
	canonical, err := lib.Encode()
	if err != nil {
		t.Fatal(err)
	}
	known, unknown := pir.Sum(canonical), pir.Sum([]byte("unknown"))
	var ask, answer bytes.Buffer
	if err := WriteAsk(&ask, AskPIRs, [][]byte{known[:], unknown[:], known[:]}); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(&answer)
	for _, a := range []struct {
		e Encoding
		b []byte
	}{{Plain, canonical}, {Missing, nil}, {End, nil}} {
		if err := WriteAnswer(w, a.e, a.b); err != nil {
			t.Fatal(err)
		}
	}
	w.Flush()
	encode := func() ([]byte, error) { return fmt.Appendf(nil, "%x\n%x\n", ask.Bytes(), answer.Bytes()), nil }
	type exchange struct {
		Asked []pir.PID
		PIRs  []string
	}
	vector(t, "pir-exchange.txt", encode, func(b []byte) (any, error) {
		lines := strings.Fields(string(b))
		request, err := hex.DecodeString(lines[0])
		if err != nil {
			return nil, err
		}
		kind, items, err := ReadAsk(bufio.NewReader(bytes.NewReader(request)))
		if err != nil || kind != AskPIRs {
			return nil, fmt.Errorf("kind %d, %w", kind, err)
		}
		var x exchange
		for _, item := range items {
			x.Asked = append(x.Asked, pir.PID(item))
		}
		answers, err := hex.DecodeString(lines[1])
		if err != nil {
			return nil, err
		}
		r := bufio.NewReader(bytes.NewReader(answers))
		for {
			e, b, err := ReadAnswer(r, nil, pir.MaxSize)
			if err != nil || e == End {
				return x, err
			}
			x.PIRs = append(x.PIRs, string(b))
		}
	}, exchange{[]pir.PID{known, unknown, known}, []string{string(canonical), ""}})
}

func TestPartsAnswer(t *testing.T) {
	leaf := cid.Sum(cid.Raw, []byte("a leaf"))
	b := AppendPart(AppendPart(nil, PartHere, leaf), PartMissing, cid.Sum(cid.Raw, nil))
	if got, want := hex.EncodeToString(b), "03"+hex.EncodeToString(leaf.Bytes()[4:12])+"01"+"af1349b9f5f9a1a6"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	leaves, parts, err := Parts(b)
	if err != nil || !cmp.Equal(leaves, []PartKey{PartKeyOf(leaf), PartKeyOf(cid.Sum(cid.Raw, nil))}) || !cmp.Equal(parts, []Part{PartHere, PartMissing}) {
		t.Errorf("got %x, %d, %v", leaves, parts, err)
	}
	for _, bad := range [][]byte{b[:len(b)-1], append([]byte{0}, b[1:]...), append([]byte{4}, b[1:]...)} {
		if _, _, err := Parts(bad); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}

func FuzzSwarm(f *testing.F) {
	h := sampleHead(f, 1, nil)
	head, _ := h.Encode()
	policy, _ := (&Policy{Rules: []Rule{{Names: "*", Signers: []Signer{{KeyOf(key(1)), "a"}}, Need: 1}}}).Encode()
	f.Add(head)
	f.Add(policy)
	f.Add([]byte{1, 1, 2, 3})
	f.Add([]byte{1, 3, 'a', 'b', 'c', 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHead(b); err == nil {
			if again, err := h.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("head %q is written as %q, %v", b, again, err)
			}
		}
		if p, err := DecodePolicy(b); err == nil {
			if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("policy %q is written as %q, %v", b, again, err)
			}
		}
		if a, err := DecodeAttestation(b); err == nil {
			if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Errorf("attestation %q is written as %q, %v", b, again, err)
			}
		}
		if leaves, parts, err := Parts(b); err == nil {
			var again []byte
			for i, k := range leaves {
				again = append(append(again, byte(parts[i])), k[:]...)
			}
			if !bytes.Equal(again, b) {
				t.Errorf("parts %x are written as %x", b, again)
			}
		}
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			if kind, items, err := ReadAsk(r); err != nil {
				break
			} else if err := WriteAsk(io.Discard, kind, items); err != nil {
				t.Error(err)
			}
		}
		r.Reset(bytes.NewReader(b))
		for {
			if _, got, err := ReadAnswer(r, nil, 1<<10); err != nil {
				break
			} else if len(got) > 1<<10 {
				t.Errorf("an answer of %d bytes", len(got))
			}
		}
	})
}
