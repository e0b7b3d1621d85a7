package node

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// maxRoots bounds the roots that one call changes.
const maxRoots = 10_000

// roots answers OpRoots.
func (h *handler) roots(ctx context.Context, a protocol.RootsArgs) ([]protocol.Root, error) {
	if err := checkRoots(a.Put, true); err != nil {
		return nil, err
	}
	if len(a.Delete) > maxRoots {
		return nil, protocol.Errorf(protocol.Invalid, "roots: %d names to remove, want at most %d", len(a.Delete), maxRoots)
	}
	for _, name := range a.Delete {
		if err := protocol.CheckRootName(name, true); err != nil {
			return nil, err
		}
	}
	if len(a.Put)+len(a.Delete) > 0 {
		if err := h.changeRoots(ctx, a.Put, a.Delete); err != nil {
			return nil, err
		}
	}
	out := []protocol.Root{}
	if !a.List {
		return out, nil
	}
	for r, err := range h.store.Roots() {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(r.Name, a.Prefix) {
			out = append(out, protocol.Root{Name: r.Name, PID: r.PID, CID: r.CID.String(), Created: r.Created})
		}
	}
	return out, nil
}

// checkRoots returns an error unless a caller may put these roots.
func checkRoots(put []protocol.Root, local bool) error {
	if len(put) > 0 && !local {
		return protocol.Errorf(protocol.Denied, "only the node's user may store roots")
	}
	if len(put) > maxRoots {
		return protocol.Errorf(protocol.Invalid, "%d roots, want at most %d", len(put), maxRoots)
	}
	for _, r := range put {
		if err := protocol.CheckRootName(r.Name, false); err != nil {
			return err
		}
		if r.PID.IsZero() && r.CID == "" {
			return protocol.Errorf(protocol.Invalid, "root %s names neither a PID nor a CID", r.Name)
		}
	}
	return nil
}

// changeRoots puts roots, each with the content that its PID has now or with its CID, and removes others, in one durable step.
func (h *handler) changeRoots(ctx context.Context, put []protocol.Root, remove []string) error {
	now := time.Now()
	list := make([]cas.Root, len(put))
	for i, r := range put {
		list[i] = cas.Root{Name: r.Name, PID: r.PID, Created: now}
		var err error
		if !r.PID.IsZero() {
			list[i].CID, err = h.store.CID(r.PID)
		} else if list[i].CID, err = cid.Parse(r.CID); err != nil {
			return protocol.Errorf(protocol.Invalid, "root %s: %w", r.Name, err)
		}
		if errors.Is(err, cas.ErrNotFound) {
			return protocol.Errorf(protocol.NotFound, "root %s: %s is not in the store", r.Name, r.PID.Short()).WithHint("build it first: nuka build")
		}
		if err != nil {
			return cas.Coded(err)
		}
	}
	err := h.store.ChangeRoots(ctx, list, remove)
	if errors.Is(err, cas.ErrNotFound) {
		return protocol.Errorf(protocol.NotFound, "%w", err).WithHint("nuka root list shows the roots; the content of a new root must be in the store")
	}
	return cas.Coded(err)
}
