package node

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// maxPublishedTree bounds the files of a feed or a package set, in bytes.
const maxPublishedTree = 1 << 30

// published answers OpPublished.
func (h *handler) published(ctx context.Context, r *request, a protocol.PublishedArgs) (*protocol.PublishedAnswer, error) {
	if len(a.Keys) > protocol.MaxPublishedKeys || len(a.Heads) > protocol.MaxPublishedKeys {
		return nil, protocol.Errorf(protocol.Invalid, "published: more than %d keys or heads", protocol.MaxPublishedKeys)
	}
	if !r.Local { // what the node serves to others is its user's to say; another caller gets heads and trees all the same
		if a.Action == protocol.ActionAdd || a.Action == protocol.ActionRemove && !a.Follow {
			return nil, protocol.Errorf(protocol.Denied, "only the node's user may publish")
		}
		if a.Action == protocol.ActionRemove {
			return &protocol.PublishedAnswer{}, nil
		}
		a.Follow = false
	}
	heads, err := oneTree(a.Heads)
	if err != nil {
		return nil, err
	}
	switch a.Action {
	case "":
		return h.askPublished(ctx, &a)
	case protocol.ActionGet:
		return &protocol.PublishedAnswer{}, h.getPublished(ctx, r, heads, a.Size)
	case protocol.ActionAdd:
		return h.publish(ctx, heads)
	case protocol.ActionRemove:
		return &protocol.PublishedAnswer{}, h.unpublish(ctx, a.Keys, !a.Follow)
	}
	return nil, protocol.Errorf(protocol.Invalid, "published: unknown action %q", a.Action)
}

// oneTree decodes heads of one thing and one tree.
func oneTree(texts []string) (heads []*protocol.Published, err error) {
	for _, text := range texts {
		p, err := protocol.DecodePublished([]byte(text))
		if err != nil {
			return nil, protocol.Errorf(protocol.Invalid, "published: %w", err)
		}
		if f := p; len(heads) > 0 && (f.Root != heads[0].Root || f.Kind != heads[0].Kind || f.Name != heads[0].Name) {
			return nil, protocol.Errorf(protocol.Invalid, "published: the heads are of several trees").WithHint("each signer signs the same tree: nuka advisories make")
		}
		heads = append(heads, p)
	}
	return heads, nil
}

// askPublished asks peers for the heads of signers.
func (h *handler) askPublished(ctx context.Context, a *protocol.PublishedArgs) (*protocol.PublishedAnswer, error) {
	if len(a.Keys) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "published: no key")
	}
	if a.Follow {
		if err := h.publishedHeads.Keep(a.Keys, false); err != nil {
			return nil, err
		}
	}
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	away := reach(ctx, m, a.Ticket)
	lines, err := h.swarms.Published(ctx, a.Keys)
	if err != nil {
		return nil, err
	}
	out := &protocol.PublishedAnswer{Heads: []string{}, Own: []string{}, Peers: len(h.swarms.Peers())}
	for _, line := range lines {
		out.Heads = append(out.Heads, string(line))
	}
	slices.Sort(out.Heads)
	out.Heads = slices.Compact(out.Heads) // several swarms may have the same
	for _, p := range h.publishedHeads.Known(a.Keys) {
		out.Own = append(out.Own, string(p.Text))
	}
	if len(out.Heads)+len(out.Own) == 0 && away != nil {
		return nil, protocol.Errorf(protocol.Unavailable, "%w", away).WithHint("ask for a new ticket, or wait until the node runs again")
	}
	return out, nil
}

// getPublished fetches the tree of heads. If the node's user follows the signers, the node keeps the tree in place of the one before, and serves it.
func (h *handler) getPublished(ctx context.Context, r *request, heads []*protocol.Published, size int64) error {
	if len(heads) == 0 || size < 1 || size > maxPublishedTree {
		return protocol.Errorf(protocol.Invalid, "published: no head, or a bound of %d bytes", size)
	}
	root := heads[0].Root
	h.keepForCaller(r, "a command that fetches a feed or a package set").Keep(root)
	missing, err := h.store.Missing(ctx, root)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		return cas.Coded(err)
	}
	if err != nil || len(missing) > 0 {
		err := h.swarms.Fetch(ctx, pir.PID{}, root, size, func(done, total int64) {
			r.Event(protocol.Event{Kind: protocol.EventProgress, Name: heads[0].Name, What: pir.Fetch, Done: done, Total: total})
		})
		if err != nil {
			return err
		}
	}
	if followed := slices.ContainsFunc(heads, func(p *protocol.Published) bool { return h.publishedHeads.Follows(p.Signer) }); !r.Local || !followed {
		return nil
	}
	return h.pinPublished(ctx, heads)
}

// pinPublished makes the tree of heads the one that this node has of their signers, and serves it.
func (h *handler) pinPublished(ctx context.Context, heads []*protocol.Published) error {
	var roots []cas.Root
	for _, p := range heads {
		roots = append(roots, cas.Root{Name: publishedRoot(p), CID: p.Root, Created: time.Now()})
	}
	if err := h.store.ChangeRoots(ctx, roots, nil); err != nil {
		return cas.Coded(err)
	}
	return h.sharing.Publish(ctx, heads[0].Root)
}

func publishedRoot(p *protocol.Published) string {
	return protocol.RootPublished + string(p.Kind) + "/" + p.Signer.String() + "/" + p.Name
}

// publish publishes heads whose tree was uploaded, and returns a ticket for them.
func (h *handler) publish(ctx context.Context, heads []*protocol.Published) (*protocol.PublishedAnswer, error) {
	if len(heads) == 0 {
		return nil, protocol.Errorf(protocol.Invalid, "published: no head")
	}
	now := time.Now()
	var keys []protocol.Key
	for _, p := range heads {
		if !p.Revoked && !p.Fresh(now) {
			return nil, protocol.Errorf(protocol.Unavailable, "the head of %s by %s has expired, or was issued in the future", p.Name, p.Signer).WithHint("sign it again; or check the clock of this machine")
		}
		keys = append(keys, p.Signer)
	}
	for _, known := range h.publishedHeads.Known(keys) {
		if p := heads[0]; known.Kind == p.Kind && known.Name == p.Name && (known.Number > p.Number && known.Number-p.Number <= protocol.MaxFeedStep || known.Number == p.Number && known.Root != p.Root) {
			return nil, protocol.Errorf(protocol.Differs, "%s: this node knows head %d of %s, and head %d would go back", p.Name, known.Number, known.Signer, p.Number).WithHint("sign the files again, with a larger number")
		}
	}
	if missing, err := h.store.Missing(ctx, heads[0].Root); err != nil || len(missing) > 0 {
		return nil, protocol.Errorf(protocol.Mismatch, "the files of %s are not those of its head", heads[0].Name).WithHint("they changed after they were signed: sign them again")
	}
	m, release, err := h.swarms.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := h.publishedHeads.Keep(keys, true); err != nil {
		return nil, err
	}
	if err := h.pinPublished(ctx, heads); err != nil {
		return nil, err
	}
	for _, p := range heads { // from now on peers get them
		if err := h.publishedHeads.Learn(p.Text, now); err != nil {
			return nil, err
		}
	}
	h.swarms.Announce()
	addresses, reachable := m.TicketAddresses()
	t := &protocol.Ticket{Node: h.key, Addresses: addresses, Kind: heads[0].Kind, Name: heads[0].Name, Signers: keys}
	shorten(t)
	return &protocol.PublishedAnswer{Heads: []string{}, Own: []string{}, Ticket: t.String(), Reachable: reachable}, nil
}

// unpublish forgets signers, without published those that the node only follows, and lets the store collect their trees.
func (h *handler) unpublish(ctx context.Context, keys []protocol.Key, published bool) error {
	keys, err := h.publishedHeads.Drop(keys, published)
	if err != nil || len(keys) == 0 {
		return err
	}
	var gone []string
	for tree, err := range h.sharing.Published() {
		if err != nil {
			return err
		}
		if slices.Contains(keys, tree.Signer) {
			gone = append(gone, tree.Name)
		}
	}
	if err := h.store.ChangeRoots(ctx, nil, gone); err != nil {
		return cas.Coded(err)
	}
	h.swarms.Announce()
	return nil
}
