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
)

// Keys is the path at which a registry has its keys (npm's documentation, "ECDSA registry signatures").
const Keys = "/-/npm/v1/keys"

// Signed begins the text in recordings that says which key of the registry signed a file; the key's name follows.
const Signed = "npm-signature:"

const maxSignatures = 16 // of one version

// signed returns what the registry signed about the file of a release: NAME@VERSION:INTEGRITY. nil: nothing, or no hash that is strong enough.
func (v *release) signed(name string) *ecosystem.Signed {
	var list []struct{ KeyID, Sig string }
	integrity := v.dist.text("integrity")
	if json.Unmarshal(v.dist.get("signatures"), &list) != nil || len(list) == 0 || len(list) > maxSignatures || v.file.Promised.IsZero() {
		return nil
	}
	s := &ecosystem.Signed{Text: name + "@" + v.file.Version + ":" + integrity}
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
// not changed by a mirror or a cache in between that has no key. It proves nothing about the registry itself, or about who published the version.
func (a Adapter) Check(f *ecosystem.File, ask func(ecosystem.Request) []byte) (string, error) {
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
	for _, s := range signed.Signatures {
		for _, k := range list.Keys {
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
