package protocol

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func meshKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func testMesh() *Mesh {
	m := &Mesh{Name: "team", Authority: KeyOf(meshKey(1))}
	copy(m.Secret[:], bytes.Repeat([]byte{7}, meshSecretSize))
	return m
}

var meshNow = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func certify(t *testing.T, m *Mesh, signer, member byte, change func(*Certificate)) Certificate {
	t.Helper()
	c := Certificate{Mesh: m.ID(), Member: KeyOf(meshKey(member)), Issued: meshNow, Expires: meshNow.Add(CertificateLifetime)}
	if change != nil {
		change(&c)
	}
	if err := c.Sign(meshKey(signer)); err != nil {
		t.Fatal(err)
	}
	return c
}

func revoke(t *testing.T, m *Mesh, signer byte, number int64, members ...byte) *Revocations {
	t.Helper()
	r := &Revocations{Mesh: m.ID(), Number: number}
	for _, b := range members {
		r.Keys = append(r.Keys, KeyOf(meshKey(b)))
	}
	if err := r.Sign(meshKey(signer)); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAdmits(t *testing.T) {
	m := testMesh()
	other := &Mesh{Name: "other", Authority: m.Authority, Secret: [meshSecretSize]byte{9}}
	member := certify(t, m, 1, 2, nil)
	inviter := certify(t, m, 1, 3, func(c *Certificate) { c.Invites = true })
	invited := certify(t, m, 3, 4, nil)
	for name, c := range map[string]struct {
		chain   []Certificate
		key     byte
		revoked *Revocations
		now     time.Time
		want    string
	}{
		"member":                  {chain: []Certificate{member}, key: 2},
		"invited":                 {chain: []Certificate{invited, inviter}, key: 4},
		"nothing":                 {key: 2, want: "another's"},
		"another's":               {chain: []Certificate{member}, key: 4, want: "another's"},
		"of another mesh":         {chain: []Certificate{certify(t, other, 1, 2, nil)}, key: 2, want: "another mesh"},
		"self-made":               {chain: []Certificate{certify(t, m, 2, 2, nil)}, key: 2, want: "authority has not signed"},
		"expired":                 {chain: []Certificate{member}, key: 2, now: meshNow.Add(CertificateLifetime), want: "not valid now"},
		"from the future":         {chain: []Certificate{member}, key: 2, now: meshNow.Add(-48 * time.Hour), want: "not valid now"},
		"revoked":                 {chain: []Certificate{member}, key: 2, revoked: revoke(t, m, 1, 1, 2), want: "was revoked"},
		"invited by one revoked":  {chain: []Certificate{invited, inviter}, key: 4, revoked: revoke(t, m, 1, 1, 3), want: "was revoked"},
		"another revoked":         {chain: []Certificate{member}, key: 2, revoked: revoke(t, m, 1, 1, 3)},
		"by one who may not":      {chain: []Certificate{certify(t, m, 2, 4, nil), member}, key: 4, want: "may not invite others"},
		"by another's permission": {chain: []Certificate{certify(t, m, 5, 4, nil), inviter}, key: 4, want: "may not invite others"},
		"handing invitations on":  {chain: []Certificate{certify(t, m, 3, 4, func(c *Certificate) { c.Invites = true }), inviter}, key: 4, want: "only the authority"},
	} {
		if c.now.IsZero() {
			c.now = meshNow.Add(time.Hour)
		}
		cred := &Credential{Chain: c.chain}
		err := cred.Admits(m, KeyOf(meshKey(c.key)), c.revoked, c.now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestRevocationsOnlyGoForward(t *testing.T) {
	m := testMesh()
	two := revoke(t, m, 1, 2, 5)
	for name, c := range map[string]struct {
		r     *Revocations
		newer bool
		err   bool
	}{
		"first": {revoke(t, m, 1, 1), false, false}, "same": {two, false, false}, "newer": {revoke(t, m, 1, 3), true, false},
		"two of a number": {revoke(t, m, 1, 2, 6), false, true}, "not the authority's": {revoke(t, m, 2, 9), false, true},
	} {
		newer, err := c.r.Newer(m, two)
		if newer != c.newer || (err != nil) != c.err {
			t.Errorf("%s: got %v, %v", name, newer, err)
		}
	}
	if _, err := revoke(t, m, 1, 2, 6).Newer(m, two); !errors.Is(err, ErrBackward) {
		t.Errorf("got %v, want %v", err, ErrBackward)
	}
}

// TestCredentialVector compares the bytes of a credential with frozen ones, which other versions read.
func TestCredentialVector(t *testing.T) {
	m := testMesh()
	c := &Credential{
		Chain: []Certificate{
			certify(t, m, 3, 4, nil), certify(t, m, 1, 3, func(c *Certificate) { c.Invites = true }),
		},
		Revoked: revoke(t, m, 1, 2, 9, 8),
	}
	got, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got = append([]byte(m.Prefix()+"\n"), got...)
	path := filepath.Join("testdata", "credential.txt")
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Fatal("the vector was written: look at it and run the test again")
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	_, rest, _ := bytes.Cut(want, []byte("\n"))
	again, err := DecodeCredential(rest)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, again, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for i := range rest {
		damaged := bytes.Clone(rest)
		damaged[i] ^= 1
		if c, err := DecodeCredential(damaged); err == nil && c.Admits(m, KeyOf(meshKey(4)), c.Revoked, meshNow) == nil {
			t.Fatalf("byte %d changed: still admitted", i)
		}
	}
}

func FuzzCredential(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "credential.txt"))
	if err != nil {
		f.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\n"))
	f.Add(rest)
	f.Add([]byte("{}\n{}\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCredential(b)
		if err != nil {
			return
		}
		again, err := c.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("got %q, %v", again, err)
		}
	})
}
