package attest_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/ecosystem/attest"
	"github.com/MordragT/nuka/ecosystem/attest/attesttest"
	"github.com/MordragT/nuka/pir"
)

var (
	file, other512 = hash("sha256:9bb1add04b1b4e182be6b0b80931593f7a291eb49d69b4fd728a5d4cbcdc4bd3"), hash("sha512:" + strings.Repeat("1", 128))
	another        = hash("sha256:" + strings.Repeat("0", 64))
)

func hash(text string) pir.Hash {
	h, err := pir.ParseHash(text)
	if err != nil {
		panic(err)
	}
	return h
}

const (
	signer = "https://code.example.org/one/two/workflows/release.yml@refs/tags/v1"
)

// TestVerify has one right attestation, and one for each thing that can be wrong with it.
func TestVerify(t *testing.T) {
	m, other := attesttest.New(t), attesttest.New(t)
	for name, c := range map[string]struct {
		change func(a *attest.Attestation)
		roots  *attest.Roots
		want   string // in the error; "" is none
		wrong  bool   // and not unknown
	}{
		"right":               {},
		"another file":        {change: func(a *attest.Attestation) { *a = *m.Attest(another, signer) }, want: "about another file", wrong: true},
		"a changed statement": {change: func(a *attest.Attestation) { a.Statement = append(a.Statement, ' ') }, want: "another statement", wrong: true},
		"… that the log has":  {change: func(a *attest.Attestation) { a.Statement = append(a.Statement, ' '); m.Log(a) }, want: "signature of its statement is wrong", wrong: true},
		"another signature":   {change: func(a *attest.Attestation) { a.Signature = m.Attest(file, signer).Signature }, want: "another signature", wrong: true},
		"another certificate": {change: func(a *attest.Attestation) { a.Certificate = m.Attest(file, signer).Certificate }, want: "another signature or certificate", wrong: true},
		"no certificate":      {change: func(a *attest.Attestation) { a.Certificate = nil }, want: "certificate", wrong: true},
		"a changed time":      {change: func(a *attest.Attestation) { a.Entries[0].Integrated++ }, want: "promise of its log has a wrong signature", wrong: true},
		"after the certificate": {change: func(a *attest.Attestation) {
			m.Published = m.Published.Add(time.Hour)
			m.Log(a)
			m.Published = m.Published.Add(-time.Hour)
		}, want: "expired", wrong: true},
		"no entry":               {change: func(a *attest.Attestation) { a.Entries = nil }, want: "no log that is known"},
		"no promise":             {change: func(a *attest.Attestation) { a.Entries[0].Promise.Signature = nil }, want: "no log that is known"},
		"another form":           {change: func(a *attest.Attestation) { a.PayloadType = "text/plain" }, want: "signature of its statement is wrong", wrong: true},
		"another authority":      {change: func(a *attest.Attestation) { *a = *other.Attest(file, signer); m.Log(a) }, want: "unknown authority"},
		"another log":            {change: func(a *attest.Attestation) { other.Log(a) }, want: "wrong signature", wrong: true},
		"a hash of another kind": {change: func(a *attest.Attestation) { *a = *m.Attest(other512, signer) }, want: "has no sha256"},
		"nobody that is trusted": {roots: &attest.Roots{}, want: "no log that is known"},
	} {
		each := func(t *testing.T) {
			a, roots := m.Attest(file, signer), m.Roots()
			if c.change != nil {
				c.change(a)
			}
			if c.roots != nil {
				roots = c.roots
			}
			got, err := a.Verify(file, roots)
			if c.want == "" {
				if err != nil || got.Name != signer || got.Issuer != "https://issuer.example.org" {
					t.Errorf("got %+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, attest.ErrUnknown) == c.wrong {
				t.Errorf("got %+v, %v; want %q (wrong: %v)", got, err, c.want, c.wrong)
			}
		}
		for _, m.InToto = range []bool{false, true} {
			other.InToto = m.InToto
			t.Run(fmt.Sprintf("%s, older log %v", name, m.InToto), each)
		}
	}
}

// TestCheck has a list of attestations.
func TestCheck(t *testing.T) {
	m := attesttest.New(t)
	right, unknown := *m.Attest(other512, signer), *m.Attest(file, signer)
	wrong := right
	wrong.Statement = append(bytes.Clone(wrong.Statement), ' ')
	for name, c := range map[string]struct {
		list []attest.Attestation
		want string
		err  string
	}{
		"none":      {nil, "", ""},
		"one":       {[]attest.Attestation{right}, "attestation:" + signer, ""},
		"two":       {[]attest.Attestation{right, *m.Attest(other512, "https://a.example.org/b")}, "attestation:https://a.example.org/b", ""},
		"unknown":   {[]attest.Attestation{unknown}, "", ""},
		"one known": {[]attest.Attestation{unknown, right}, "attestation:" + signer, ""},
		"one wrong": {[]attest.Attestation{right, wrong}, "", "is wrong"},
		"many":      {slices.Repeat([]attest.Attestation{right}, 17), "", ""},
	} {
		got, err := attest.Check(c.list, other512, m.Roots())
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

// TestPublic checks that the roots of nuka can be read, and do not trust the authority of a test.
func TestPublic(t *testing.T) {
	roots, err := attest.Public()
	if err != nil || len(roots.Logs) == 0 {
		t.Fatalf("got %+v, %v", roots, err)
	}
	if s, err := attesttest.New(t).Attest(file, signer).Verify(file, roots); !errors.Is(err, attest.ErrUnknown) {
		t.Errorf("got %+v, %v", s, err)
	}
}

// FuzzStatements reads text of both registries. Nothing of it is verified.
func FuzzStatements(f *testing.F) {
	m := attesttest.New(f)
	f.Add(attesttest.Provenance(m.Attest(file, signer)))
	f.Add(attesttest.Bundles(m.Attest(file, signer), m.Attest(file, signer)))
	f.Add([]byte(`{"version":1,"attestation_bundles":[{"attestations":[{"version":1}]}]}`))
	f.Add([]byte(`{"attestations":[{"bundle":{"dsseEnvelope":{"signatures":[{}]},"verificationMaterial":{"certificate":{"rawBytes":""}}}}]}`))
	roots, err := attest.Public()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, read := range []func([]byte) ([]attest.Attestation, error){attest.Statements, attest.Bundles} {
			list, err := read(text)
			if err != nil {
				continue
			}
			for i := range list {
				if s, err := list[i].Verify(file, roots); err == nil {
					t.Errorf("verified %+v", s)
				}
			}
		}
	})
}

// TestBundles reads bundles of npm in both forms of their certificates, and leaves out the registry's own.
func TestBundles(t *testing.T) {
	m := attesttest.New(t)
	list, err := attest.Bundles(attesttest.Bundles(m.Attest(file, signer), m.Attest(file, signer)))
	if err != nil || len(list) != 2 {
		t.Fatalf("got %d, %v", len(list), err)
	}
	if got, err := attest.Check(list, file, m.Roots()); err != nil || got != "attestation:"+signer {
		t.Errorf("got %q, %v", got, err)
	}
}
