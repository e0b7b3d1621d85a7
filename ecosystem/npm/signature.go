package npm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/attest"
)

// Keys is the path at which a registry has its keys (npm's documentation, "ECDSA registry signatures").
const Keys = "/-/npm/v1/keys"

// Signed begins the text in recordings that says which key of the registry signed a file; the key's name follows.
const Signed = "npm-signature:"

const maxSignatures = 16 // of one version

// attestations begins the path at which a registry has the attestations about a version; NAME@VERSION follows.
const attestations = "/-/npm/v1/attestations/"

// signed returns what the registry signed about the file of a release, NAME@VERSION:INTEGRITY, and where it has attestations about it. nil: nothing, or no hash that is strong enough.
func (v *release) signed(registry, name string) *ecosystem.Signed {
	if v.file.Promised.IsZero() {
		return nil
	}
	s := &ecosystem.Signed{}
	var offered struct{ URL string }
	if raw := v.dist.get("attestations"); raw != nil && json.Unmarshal(raw, &offered) == nil {
		// npm, too, asks the registry that it is configured for, and not the host of the address.
		if _, rest, ok := strings.Cut(offered.URL, attestations); ok {
			if path, err := ecosystem.CanonicalPath(attestations + rest); err == nil {
				s.Provenance = ecosystem.Request{Alias: registry, Path: path}
			}
		}
	}
	var list []struct{ KeyID, Sig string }
	if json.Unmarshal(v.dist.get("signatures"), &list) != nil || len(list) == 0 || len(list) > maxSignatures {
		if s.Provenance.Alias == "" {
			return nil
		}
		return s
	}
	s.Text = name + "@" + v.file.Version + ":" + v.dist.text("integrity")
	for _, one := range list {
		if sig, err := base64.StdEncoding.DecodeString(one.Sig); err == nil {
			s.Signatures = append(s.Signatures, ecosystem.Signature{Key: one.KeyID, Sig: sig})
		}
	}
	return s
}

// A key is one of the keys of a registry.
type key struct {
	KeyID, KeyType, Scheme, Key string
	Expires                     *time.Time
}

// Check implements ecosystem.Checker. It verifies the signature of the registry's record of a version, by a key that the same registry lists: so the record was
// not changed by a mirror or a cache in between that has no key. It proves nothing about the registry itself. Who published the version is verified by its attestations, where
// the registry has some.
func (a Adapter) Check(f *ecosystem.File, ask func(ecosystem.Request) []byte) (string, error) {
	roots, err := attest.Public()
	if err != nil {
		return "", err
	}
	return a.verified(f, ask, roots)
}

func (a Adapter) verified(f *ecosystem.File, ask func(ecosystem.Request) []byte, roots *attest.Roots) (string, error) {
	var list struct{ Keys []key }
	if json.Unmarshal(ask(ecosystem.Request{Alias: f.Request.Alias, Path: Keys}), &list) != nil || len(list.Keys) == 0 {
		return "", nil // the registry has none
	}
	signed := f.Signed
	if signed == nil { // the client has a lock file, and asked for no index
		if signed = a.record(f, ask); signed == nil {
			return "", nil
		}
	}
	signature, err := signedBy(f, signed, list.Keys)
	if err != nil {
		return "", err
	}
	attested, err := attestedBy(f, signed, ask, roots)
	return strings.TrimSpace(signature + " " + attested), err
}

// attestedBy verifies the attestations about a version.
func attestedBy(f *ecosystem.File, signed *ecosystem.Signed, ask func(ecosystem.Request) []byte, roots *attest.Roots) (string, error) {
	if signed.Provenance.Alias == "" {
		return "", nil
	}
	text := ask(signed.Provenance)
	if text == nil {
		return "", nil
	}
	list, err := attest.Bundles(text)
	if err != nil {
		return "", nil // of another format
	}
	return attest.Check(list, f.Promised, roots)
}

// signedBy verifies the registry's signature.
func signedBy(f *ecosystem.File, signed *ecosystem.Signed, keys []key) (string, error) {
	for _, s := range signed.Signatures {
		for _, k := range keys {
			if k.KeyID != s.Key || !k.covers(f.Released) {
				continue
			}
			public, err := k.public()
			if err != nil {
				return "", err
			}
			digest := sha256.Sum256([]byte(signed.Text))
			if !ecdsa.VerifyASN1(public, digest[:], s.Sig) {
				return "", fmt.Errorf("the signature of %.300q by the registry's key %.100q is wrong", signed.Text, k.KeyID)
			}
			return Signed + k.KeyID, nil
		}
	}
	return "", nil
}

// record asks for the record of a version. It must promise the hash that the bytes were compared with.
func (a Adapter) record(f *ecosystem.File, ask func(ecosystem.Request) []byte) *ecosystem.Signed {
	q := ecosystem.Request{Alias: f.Request.Alias, Path: "/" + strings.Replace(f.Package, "/", "%2F", 1) + "/" + f.Version}
	body := ask(q)
	if body == nil || !isName(f.Package) || !isVersion(f.Version) {
		return nil
	}
	files, err := a.Read(q, "https://registry.invalid"+q.Path, "", body, func(string) ecosystem.Request { return ecosystem.Request{} })
	if err != nil || len(files) != 1 || files[0].Promised != f.Promised || !files[0].Same(f) {
		return nil
	}
	return files[0].Signed
}

// covers reports whether the key was in use when a version was released.
func (k *key) covers(released time.Time) bool {
	if k.KeyType != "ecdsa-sha2-nistp256" || len(k.KeyID) > 200 || strings.ContainsFunc(k.KeyID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	if k.Expires == nil {
		return true
	}
	return !released.IsZero() && released.Before(*k.Expires)
}

func (k *key) public() (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.DecodeString(k.Key)
	if err != nil {
		return nil, fmt.Errorf("the registry's key %.100q: %w", k.KeyID, err)
	}
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("the registry's key %.100q: %w", k.KeyID, err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, fmt.Errorf("the registry's key %.100q is no key of ECDSA with P-256", k.KeyID)
	}
	return public, nil
}
