package node

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/protocol"
)

// This file separates the users of a system daemon. A user's policy adds conditions to the machine's, for that user's calls alone.

// policyOf returns the policy that a caller reads and changes: the machine's, or a user's own.
func (h *handler) policyOf(r *request) (*trust.Policy, error) {
	if r.User == 0 {
		return h.policy, nil
	}
	h.usersMu.Lock()
	defer h.usersMu.Unlock()
	if p := h.users[r.User]; p != nil {
		return p, nil
	}
	dir := filepath.Join(h.home.Users(), strconv.FormatUint(uint64(r.User), 10))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p, err := trust.OpenPolicy(filepath.Join(dir, "policy.nuon"))
	if err != nil {
		return nil, err
	}
	if h.users == nil {
		h.users = map[uint32]*trust.Policy{}
	}
	h.users[r.User] = p
	return p, nil
}

// realizerOf returns the realizer that decides as a caller's policy says.
func (h *handler) realizerOf(r *request) (*realize.Realizer, error) {
	if r.User == 0 {
		return h.realizer, nil
	}
	user, err := h.policyOf(r)
	if err != nil {
		return nil, err
	}
	return h.realizer.Under(func() *protocol.Policy { return h.policy.Get().With(user.Get()) }), nil
}
