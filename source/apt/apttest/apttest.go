// Package apttest makes small archives of Debian packages for tests, with a signed index. Everything is made anew in each test, keys included.
package apttest

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	_ "crypto/sha1" // for SignWeak
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/MordragT/nuka/protocol"
)

// A Key signs an archive.
type Key struct {
	t      testing.TB
	entity *openpgp.Entity
}

// NewKey makes a key at a time, which expires after life; 0 is never.
func NewKey(t testing.TB, made time.Time, life time.Duration) *Key {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return made }, KeyLifetimeSecs: uint32(life / time.Second)}
	e, err := openpgp.NewEntity("test", "", "", config)
	if err != nil {
		t.Fatal(err)
	}
	return &Key{t, e}
}

// NewRSAKey makes an RSA key, which can sign with weak digests.
func NewRSAKey(t testing.TB, made time.Time) *Key {
	t.Helper()
	e, err := openpgp.NewEntity("test", "", "", &packet.Config{RSABits: 2048, Time: func() time.Time { return made }})
	if err != nil {
		t.Fatal(err)
	}
	return &Key{t, e}
}

// Public returns the public key in its binary form.
func (k *Key) Public() []byte {
	k.t.Helper()
	var b bytes.Buffer
	if err := k.entity.Serialize(&b); err != nil {
		k.t.Fatal(err)
	}
	return b.Bytes()
}

// Armored returns the public key as text.
func (k *Key) Armored() string {
	k.t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		_, err = w.Write(k.Public())
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return b.String()
}

// Fingerprint returns the key's fingerprint in hexadecimal.
func (k *Key) Fingerprint() string { return fmt.Sprintf("%X", k.entity.PrimaryKey.Fingerprint) }

// Sign clear-signs a text at a time, with SHA-512 or the given digest.
func Sign(t testing.TB, text string, at time.Time, hash crypto.Hash, keys ...*Key) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.entity.PrivateKey)
	}
	if hash == 0 {
		hash = crypto.SHA512
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, &packet.Config{DefaultHash: hash, Time: func() time.Time { return at }})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// SignWeak clear-signs a text with SHA-1, which the OpenPGP library does not do by itself.
func SignWeak(t testing.TB, text string, at time.Time, k *Key) []byte {
	t.Helper()
	key := k.entity.PrivateKey
	sig := &packet.Signature{
		Version: 4, SigType: packet.SigTypeText, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA1, CreationTime: at, IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint,
	}
	h := crypto.SHA1.New()
	_, _ = h.Write([]byte(strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\r\n"))) // a hash takes all
	var b bytes.Buffer
	err := sig.Sign(h, key, &packet.Config{Time: func() time.Time { return at }, NonDeterministicSignaturesViaNotation: packet.BoolPointer(false)})
	b.WriteString("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\n" + text)
	w, bad := armor.Encode(&b, "PGP SIGNATURE", nil)
	if err == nil {
		err = bad
	}
	if err == nil {
		err = sig.Serialize(w)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

// A Suite is one suite of an archive.
type Suite struct {
	Codename string
	State    string // the name of its state; "" is stable
	Date     time.Time
	Valid    time.Duration     // after Date; 0 is for ever
	Packages map[string]string // the packages file of each architecture
	Contents map[string]string // the contents file of each architecture
	Fields   string            // further lines of the Release
}

// Release returns the text of the suite's Release, and its files by their paths below the suite's folder.
func (s *Suite) Release() (string, map[string][]byte) {
	files := map[string][]byte{}
	var sums strings.Builder
	add := func(name string, body []byte) {
		fmt.Fprintf(&sums, " %x %d %s\n", sha256.Sum256(body), len(body), name)
	}
	for _, arch := range slices.Sorted(maps.Keys(s.Packages)) {
		name := "main/binary-" + arch + "/Packages"
		files[name+".xz"] = Gzip(s.Packages[arch]) // readers tell the compression by the first bytes
		add(name, []byte(s.Packages[arch]))
		add(name+".xz", files[name+".xz"])
	}
	for _, arch := range slices.Sorted(maps.Keys(s.Contents)) {
		name := "main/Contents-" + arch + ".gz"
		files[name] = Gzip(s.Contents[arch])
		add(name, files[name])
	}
	state := s.State
	if state == "" {
		state = "stable"
	}
	text := fmt.Sprintf("Origin: Debian\nSuite: %s\nCodename: %s\nDate: %s\n", state, s.Codename, s.Date.UTC().Format(time.RFC1123))
	if s.Valid != 0 {
		text += "Valid-Until: " + s.Date.Add(s.Valid).UTC().Format(time.RFC1123) + "\n"
	}
	return text + s.Fields + "SHA256:\n" + sums.String(), files
}

// Gzip compresses a text.
func Gzip(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text)) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

// An Archive answers requests for the files below its address, as an http.Handler or as a Getter with any address. It is safe for concurrent use.
type Archive struct {
	mu    sync.Mutex
	files map[string][]byte
	got   []string
}

// Put adds a suite whose InRelease the keys sign at the suite's date.
func (a *Archive) Put(t testing.TB, s Suite, keys ...*Key) {
	t.Helper()
	text, files := s.Release()
	for name, body := range files {
		a.Set("dists/"+s.Codename+"/"+name, body)
	}
	a.Set("dists/"+s.Codename+"/InRelease", Sign(t, text, s.Date, 0, keys...))
}

// Set sets one file; nil removes it.
func (a *Archive) Set(path string, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.files == nil {
		a.files = map[string][]byte{}
	}
	a.files[path] = body
}

// Got returns the paths that were asked for, and forgets them.
func (a *Archive) Got() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

func (a *Archive) file(path string) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, path)
	return a.files[path]
}

// Get returns a file. The part of the address before the first dists or pool does not matter.
func (a *Archive) Get(_ context.Context, address string, limit int64) ([]byte, error) {
	body := a.file(below(address))
	switch {
	case body == nil:
		return nil, protocol.Errorf(protocol.NotFound, "get %s: 404", address)
	case int64(len(body)) > limit:
		return nil, protocol.Errorf(protocol.Exhausted, "get %s: more than %d bytes", address, limit)
	}
	return body, nil
}

// ServeHTTP serves the files.
func (a *Archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := a.file(below(r.URL.Path))
	if body == nil {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(body)
}

func below(address string) string {
	for _, folder := range []string{"/dists/", "/pool/"} {
		if i := strings.Index(address, folder); i >= 0 {
			return address[i+1:]
		}
	}
	return address
}

// Stanza returns the stanza of a package for amd64. More are further lines, such as "Depends: libc6".
func Stanza(name, version string, more ...string) string {
	_, plain, ok := strings.Cut(version, ":")
	if !ok {
		plain = version
	}
	s := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: pool/main/%s/%s/%s_%s_amd64.deb\nSize: 1000\nInstalled-Size: 5\nSHA256: %x\n",
		name, version, name[:1], name, name, plain, sha256.Sum256([]byte(name+" "+version)))
	for _, line := range more {
		s += line + "\n"
	}
	return s + "\n"
}
