package node

import (
	"context"
	"fmt"
	"time"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// trust answers OpTrust: it shows the policy, or changes it.
func (h *handler) trust(ctx context.Context, r *request, a protocol.TrustArgs) (*protocol.Trust, error) {
	policy, err := h.policyOf(r)
	if err != nil {
		return nil, err
	}
	switch a.Action {
	case protocol.ActionAdd:
		err = policy.Add(&a)
	case protocol.ActionRemove:
		err = policy.Remove(&a)
	case "":
	default:
		err = protocol.Errorf(protocol.Invalid, "trust: unknown action %q", a.Action)
	}
	if err != nil {
		return nil, err
	}
	h.swarms.Wake()
	if a.Action != "" {
		h.swarms.AskHeads()
	}
	known, backward, ahead := h.heads.Known(), h.heads.Backward(), h.heads.Ahead()
	t := &protocol.Trust{Rules: []protocol.TrustRule{}}
	for _, r := range policy.Get().Rules {
		rule := protocol.TrustRule{Names: r.Names, Platform: r.Platform, Need: r.Need}
		for _, s := range r.Signers {
			signer := protocol.TrustSigner{Key: s.Key, Label: s.Label, Backward: backward[s.Key], Ahead: ahead[s.Key]}
			if head := known[s.Key]; head != nil {
				signer.Revoked, signer.Next = head.Revoked, head.Next
				if !head.Revoked && !head.Fresh(time.Now()) {
					signer.Stale = head.Expires
				}
			}
			rule.Signers = append(rule.Signers, signer)
		}
		t.Rules = append(t.Rules, rule)
	}
	t.Resting, err = h.realizer.Resting(ctx)
	return t, err
}

// keyCall answers OpKey: it shows the key of the node, or gives it another one.
func (h *handler) keyCall(ctx context.Context, a protocol.KeyArgs) (*protocol.KeyStatus, error) {
	if !a.Key.IsZero() && a.Key != h.key {
		return nil, protocol.Errorf(protocol.Invalid, "%s is not this node's key: only its owner can revoke it", a.Key).
			WithHint("to stop trusting it here: nuka trust remove %s", a.Key)
	}
	switch a.Action {
	case "":
	case protocol.ActionRotate, protocol.ActionRevoke:
		if err := h.heads.ChangeKey(ctx, h.home.NodeKey(), h.private, a.Action == protocol.ActionRotate, h.store); err != nil {
			return nil, fmt.Errorf("change the node's key: %w", err)
		}
		// The daemon tells its peers, and then ends.
		if head := h.heads.Known()[h.key]; head != nil {
			if text, err := head.Encode(); err == nil {
				h.swarms.Tell(ctx, text)
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
