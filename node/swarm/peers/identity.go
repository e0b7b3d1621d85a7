package peers

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	p2pcrypto "github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/MordragT/nuka/protocol"
)

// signedHere are the beginnings of the messages that a peer signs: that the key of a TLS certificate, or of Noise, is its own, its
// addresses, and that it relays for another. Each is a domain of its own, or follows the length of one.
var signedHere = [][]byte{[]byte("libp2p-tls-handshake:"), []byte("noise-libp2p-static-key:"), []byte("\x12libp2p-peer-record"), []byte("\x11libp2p-relay-rsvp")}

// MaySign reports whether a message is one that a Host signs with its node's key. No message that a node signs as a signer is.
func MaySign(message []byte) bool {
	return slices.ContainsFunc(signedHere, func(begin []byte) bool { return bytes.HasPrefix(message, begin) })
}

// An identity is a node's key in libp2p's terms. The private key may be in another process.
type identity struct {
	signer crypto.Signer
	public protocol.Key
	secret []byte
}

func newIdentity(signer crypto.Signer) (*identity, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok || len(public) != ed25519.PublicKeySize {
		return nil, errors.New("its key is not ed25519")
	}
	k := &identity{signer: signer, public: protocol.Key(public), secret: make([]byte, ed25519.PrivateKeySize)}
	_, err := rand.Read(k.secret)
	return k, err
}

// Type implements crypto.Key.
func (k *identity) Type() pb.KeyType { return pb.KeyType_Ed25519 }

// Raw implements crypto.Key. It returns random bytes in place of the key, which may be in another process: libp2p derives secrets of this
// process from them and never shows them to anybody.
func (k *identity) Raw() ([]byte, error) { return slices.Clone(k.secret), nil }

// Equals implements crypto.Key.
func (k *identity) Equals(other p2pcrypto.Key) bool {
	o, ok := other.(*identity)
	return ok && o.public == k.public
}

// GetPublic implements crypto.PrivKey.
func (k *identity) GetPublic() p2pcrypto.PubKey {
	public, err := p2pcrypto.UnmarshalEd25519PublicKey(k.public[:])
	if err != nil {
		panic(err) // it has the right length
	}
	return public
}

// Sign implements crypto.PrivKey.
func (k *identity) Sign(message []byte) ([]byte, error) {
	if !MaySign(message) {
		return nil, fmt.Errorf("sign %.40q: a swarm has no business with that", message)
	}
	return k.signer.Sign(rand.Reader, message, crypto.Hash(0))
}

// keyOf returns the key in a peer id. A key of another kind than ed25519 is an error.
func keyOf(id peer.ID) (protocol.Key, error) {
	public, err := id.ExtractPublicKey()
	if err != nil {
		return protocol.Key{}, fmt.Errorf("peer %s: %w", id, err)
	}
	if public.Type() != p2pcrypto.Ed25519 {
		return protocol.Key{}, fmt.Errorf("peer %s: its key is not ed25519", id)
	}
	raw, err := public.Raw()
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return protocol.Key{}, fmt.Errorf("peer %s: its key cannot be read", id)
	}
	return protocol.Key(raw), nil
}

// idOf returns the peer id of a key.
func idOf(key protocol.Key) (peer.ID, error) {
	public, err := p2pcrypto.UnmarshalEd25519PublicKey(key[:])
	if err != nil {
		return "", err
	}
	return peer.IDFromPublicKey(public)
}
