package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// newKeySuffix names the key that takes over while it does.
const newKeySuffix = ".next"

// loadNodeKey reads the node's key, and finishes or forgets a change of it that a crash has cut off.
func loadNodeKey(home protocol.Home, known *heads) (ed25519.PrivateKey, error) {
	path := home.NodeKey()
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

// replaceKey puts the new key in the place of the old one, which is kept beside it.
func replaceKey(path string, old protocol.Key) error {
	if err := os.Link(path, filepath.Join(filepath.Dir(path), old.String())); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return atomicfile.Rename(path+newKeySuffix, path)
}

// changeKey gives the node another key, and makes the old one's last word: that it counts no longer, and, unless it is
// to be forgotten, who takes over. What this node has said is said again by the new key.
// The daemon must be started again with it.
func (h *handler) changeKey(ctx context.Context, successor bool) error {
	path := h.home.NodeKey()
	if err := os.Remove(path + newKeySuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	next, err := control.LoadKey(path + newKeySuffix)
	if err != nil {
		return err
	}
	if err := h.sayAgain(ctx, next); err != nil {
		return err
	}
	named := protocol.Key{}
	if successor {
		named = protocol.KeyOf(next)
	}
	if err := h.heads.revoke(h.private, named, time.Now()); err != nil {
		return err
	}
	return replaceKey(path, h.key)
}

// sayAgain signs with another key what this node has said.
func (h *handler) sayAgain(ctx context.Context, key ed25519.PrivateKey) error {
	var again []protocol.Attestation
	for b, err := range h.store.Bindings() {
		if err != nil {
			return err
		}
		for a, err := range h.store.Attestations(b.PID) {
			if err != nil {
				return err
			}
			if a.Signer != h.key {
				continue
			}
			if err := a.Sign(key); err != nil {
				return err
			}
			again = append(again, a)
		}
	}
	return h.store.PutAttestations(ctx, again...)
}

// keyCall answers OpKey.
func (h *handler) keyCall(ctx context.Context, a protocol.KeyArgs) (*protocol.KeyStatus, error) {
	if !a.Key.IsZero() && a.Key != h.key {
		return nil, protocol.Errorf(protocol.Invalid, "%s is not this node's key: only its owner can revoke it", a.Key).
			WithHint("to stop trusting it here: nuka trust remove %s", a.Key)
	}
	switch a.Action {
	case "":
	case protocol.ActionRotate, protocol.ActionRevoke:
		if err := h.changeKey(ctx, a.Action == protocol.ActionRotate); err != nil {
			return nil, fmt.Errorf("change the node's key: %w", err)
		}
		// The daemon ends now. Whoever is there hears of it before.
		if head := h.heads.Known()[h.key]; head != nil {
			if text, err := head.Encode(); err == nil {
				h.swarms.tell(ctx, text)
			}
		}
		defer h.stop()
	default:
		return nil, protocol.Errorf(protocol.Invalid, "key: unknown action %q", a.Action)
	}
	key, err := control.LoadKey(h.home.NodeKey())
	if err != nil {
		return nil, err
	}
	s := &protocol.KeyStatus{Key: protocol.KeyOf(key), Peer: control.PeerID(protocol.KeyOf(key))}
	known := h.heads.Known()
	if head := known[s.Key]; head != nil {
		s.Number, s.Expires = head.Number, head.Expires
	}
	for at := s.Key; ; {
		found := false
		for old, head := range known {
			if head.Next == at && !head.Next.IsZero() && len(s.Before) < len(known) {
				s.Before = append(s.Before, old)
				at, found = old, true
				break
			}
		}
		if !found {
			return s, nil
		}
	}
}
