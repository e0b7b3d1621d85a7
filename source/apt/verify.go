package apt

import (
	"bytes"
	"crypto"
	_ "crypto/sha256" // for OpenPGP's signatures
	_ "crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/MordragT/nuka/protocol"
)

// A Keyring holds the keys whose signatures count. The zero Keyring accepts no signature.
type Keyring struct{ keys openpgp.EntityList }

// ReadKeyring reads the keys of a file in OpenPGP's binary or armored form (RFC 9580).
func ReadKeyring(b []byte) (Keyring, error) {
	read := openpgp.ReadKeyRing
	if bytes.Contains(b[:min(len(b), 4096)], []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(b))
	if err != nil {
		return Keyring{}, fmt.Errorf("read keyring: %v", err)
	}
	return Keyring{keys}, nil
}

// Add adds the keys of another keyring.
func (k *Keyring) Add(other Keyring) { k.keys = append(k.keys, other.keys...) }

// Only returns the key with a fingerprint in hexadecimal, and nothing if there is none.
func (k Keyring) Only(fingerprint string) (out Keyring) {
	for _, e := range k.keys {
		if strings.EqualFold(hex.EncodeToString(e.PrimaryKey.Fingerprint), fingerprint) {
			out.keys = append(out.keys, e)
		}
	}
	return out
}

// Len returns the number of keys.
func (k Keyring) Len() int { return len(k.keys) }

const (
	maxRelease    = 16 << 20 // bytes of an InRelease
	maxSignatures = 64
	clearBegin    = "-----BEGIN PGP SIGNED MESSAGE-----"
	clearMiddle   = "-----BEGIN PGP SIGNATURE-----"
	clearEnd      = "-----END PGP SIGNATURE-----"
)

// strongHashes are the digests that a signature may use (RFC 9580, section 9.5).
var strongHashes = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512}

// Verify returns the text of a clear-signed message (RFC 9580, section 7) that has a good signature of a key in k, made with a strong digest, where
// the key is neither expired nor revoked at the time now. One such signature is enough. Text outside the signed message, and a second message, are errors.
func (k Keyring) Verify(message []byte, now time.Time) (text []byte, err error) {
	if err := checkFrame(message); err != nil {
		return nil, protocol.Errorf(protocol.Denied, "InRelease: %v", err).WithHint("the archive or something on the way to it changed the index: try again, or use another mirror in apt's sources")
	}
	block, rest := clearsign.Decode(message)
	if block == nil || len(rest) > 0 {
		return nil, protocol.Errorf(protocol.Denied, "InRelease: it is no clear-signed message").WithHint("a proxy or a login page may have answered: open the address in a browser")
	}
	var failure error
	packets := packet.NewReader(block.ArmoredSignature.Body)
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || n >= maxSignatures {
			failure = errors.Join(failure, fmt.Errorf("signature %d: %v", n+1, err))
			break
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			return nil, protocol.Errorf(protocol.Denied, "InRelease: a packet of type %T is among the signatures", p)
		}
		if err := k.check(block.Bytes, sig, now); err != nil {
			failure = errors.Join(failure, err)
			continue
		}
		// What was hashed is what is read: Bytes, not the text that the file shows.
		return bytes.ReplaceAll(block.Bytes, []byte("\r\n"), []byte("\n")), nil
	}
	return nil, protocol.Errorf(protocol.Denied, "InRelease: no good signature of a key that apt has: %s", reasons(failure)).
		WithHint("if the distribution has new keys, install them: apt-get install debian-archive-keyring")
}

// check verifies one signature.
func (k Keyring) check(text []byte, sig *packet.Signature, now time.Time) error {
	var one bytes.Buffer
	if err := sig.Serialize(&one); err != nil {
		return err
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	_, _, err := openpgp.VerifyDetachedSignatureAndHash(k.keys, bytes.NewReader(text), &one, strongHashes, config)
	return err
}

// checkFrame checks that the whole message is one signed text and its signatures.
func checkFrame(message []byte) error {
	if len(message) > maxRelease {
		return fmt.Errorf("more than %d bytes", maxRelease)
	}
	if !bytes.HasPrefix(message, []byte(clearBegin)) {
		return fmt.Errorf("it does not begin with %s", clearBegin)
	}
	if !bytes.HasSuffix(bytes.TrimRight(message, "\r\n"), []byte(clearEnd)) {
		return fmt.Errorf("it does not end with %s", clearEnd)
	}
	for _, line := range []string{clearBegin, clearMiddle, clearEnd} {
		if n := bytes.Count(message, []byte(line)); n != 1 {
			return fmt.Errorf("it has %d lines %s, and one is allowed", n, line)
		}
	}
	return nil
}

// reasons returns an error's parts in one line.
func reasons(err error) string {
	if err == nil {
		return "it has none"
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
