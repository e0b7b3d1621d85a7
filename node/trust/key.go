package trust

import (
	"context"
	"crypto/ed25519"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// newKeySuffix names the new key during a change.
const newKeySuffix = ".next"

// LoadKey reads the node's key. If a crash cut off a change of it, LoadKey finishes that change or drops it.
func LoadKey(path string, known *Heads) (ed25519.PrivateKey, error) {
	key, err := control.LoadKey(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path + newKeySuffix); errors.Is(err, os.ErrNotExist) {
		return key, nil
	}
	if last := known.Known()[protocol.KeyOf(key)]; last == nil || !last.Revoked {
		return key, os.Remove(path + newKeySuffix)
	}
	if err := replaceKey(path, protocol.KeyOf(key)); err != nil {
		return nil, err
	}
	return control.LoadKey(path)
}

// replaceKey puts the new key in the place of the old one, and keeps the old one beside it.
func replaceKey(path string, old protocol.Key) error {
	if err := os.Link(path, filepath.Join(filepath.Dir(path), old.String())); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return atomicfile.Rename(path+newKeySuffix, path)
}

// Statements is the set of store operations that ChangeKey needs.
type Statements interface {
	Bindings() iter.Seq2[cas.Binding, error]
	Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error]
	PutAttestations(ctx context.Context, list ...protocol.Attestation) error
}

// ChangeKey gives the node another key in the place of old, which lies at path, and makes the last head of old: it is revoked, and, if
// successor is set, the new key takes over. The new key signs each statement of the old one. The daemon must be started again.
func (h *Heads) ChangeKey(ctx context.Context, path string, old ed25519.PrivateKey, successor bool, store Statements) error {
	if err := os.Remove(path + newKeySuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	next, err := control.LoadKey(path + newKeySuffix)
	if err != nil {
		return err
	}
	if err := signAgain(ctx, store, protocol.KeyOf(old), next); err != nil {
		return err
	}
	named := protocol.Key{}
	if successor {
		named = protocol.KeyOf(next)
	}
	if err := h.revoke(old, named, time.Now()); err != nil {
		return err
	}
	return replaceKey(path, protocol.KeyOf(old))
}

// signAgain signs each statement of a key with another key, too.
func signAgain(ctx context.Context, store Statements, old protocol.Key, key ed25519.PrivateKey) error {
	var again []protocol.Attestation
	for b, err := range store.Bindings() {
		if err != nil {
			return err
		}
		for a, err := range store.Attestations(b.PID) {
			if err != nil {
				return err
			}
			if a.Signer != old {
				continue
			}
			if err := a.Sign(key); err != nil {
				return err
			}
			again = append(again, a)
		}
	}
	return store.PutAttestations(ctx, again...)
}
