package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// A swarmPlace is a WHERE in the swarm: a ticket of a feed or a package set, or a signer's key with a name.
type swarmPlace struct {
	ticket string // "" if a key was given
	name   string // what the signers call it; "" is not known
	keys   []protocol.Key
}

// swarmPlaceOf reads a WHERE that is in the swarm. A ticket of a package, and everything else, gives nil.
func swarmPlaceOf(where string, kind protocol.PublishedKind) (*swarmPlace, error) {
	if protocol.IsTicket(where) {
		t, err := protocol.ParseTicket(where)
		switch {
		case err != nil && kind == protocol.PublishedFeed && !strings.ContainsAny(where, "/.") && len(where) > 60:
			return nil, protocol.Errorf(protocol.Invalid, "%w", err)
		case err != nil || t.Kind == "":
			return nil, nil
		case t.Kind != kind:
			return nil, protocol.Errorf(protocol.Invalid, "this ticket is of a %s, and not of a %s", t.Kind, kind)
		}
		return &swarmPlace{where, t.Name, t.Signers}, nil
	}
	text, name, named := strings.Cut(where, "/")
	key, err := protocol.ParseKey(text)
	if err != nil {
		return nil, nil //nolint:nilerr // it is another kind of place
	}
	if named && !protocol.IsSetName(name) {
		return nil, protocol.Errorf(protocol.Invalid, "%.100q: want key-…/NAME", where)
	}
	return &swarmPlace{"", name, []protocol.Key{key}}, nil
}

// A swarmTree gets the heads of a feed or a package set, and its files, through the node.
type swarmTree struct {
	a       *app
	kind    protocol.PublishedKind
	what    string // for people: "feed mine"
	where   string
	name    string // the signers' name of it; "" takes the only one that they have
	keys    []protocol.Key
	most    int64 // bytes of all files
	client  *control.Client
	heads   []*protocol.Published
	folders map[string]map[string]protocol.Entry // of the tree; "" is its root
}

// Close ends the connection to the node.
func (t *swarmTree) Close() {
	if t.client != nil {
		t.client.Close()
	}
}

func (t *swarmTree) connect(ctx context.Context) (err error) {
	if t.a.offline {
		return protocol.Errorf(protocol.Offline, "the network is needed and may not be used").WithHint("run it without --offline; what you have stays in use")
	}
	if t.client == nil {
		t.client, err = t.a.connect(ctx)
	}
	return err
}

// abandon makes the node forget the keys of a feed or a package set that could not be got for the first time.
func (t *swarmTree) abandon(ctx context.Context) {
	keys := map[protocol.Key]bool{}
	for _, k := range t.keys {
		keys[k] = true
	}
	if t.client != nil && t.a.node == "" {
		_ = t.a.unfollow(context.WithoutCancel(ctx), keys) // the error that is shown is that of the first attempt
	}
}

// ask asks the swarm for heads. If no peer has any, the error has the code Unavailable.
func (t *swarmTree) ask(ctx context.Context) ([]*protocol.Published, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	place, err := swarmPlaceOf(t.where, t.kind)
	if err != nil {
		return nil, err
	}
	args := protocol.PublishedArgs{Keys: t.keys, Follow: t.a.node == ""}
	if place != nil {
		args.Ticket = place.ticket
		t.name = cmp.Or(t.name, place.name)
	}
	var got protocol.PublishedAnswer
	if err := t.client.Call(ctx, protocol.OpPublished, args, &got, nil); err != nil {
		return nil, protocol.Errorf(protocol.CodeOf(err), "%w", err).WithHint("%s", cmp.Or(protocol.AsError(err).Hint, "what you have stays in use"))
	}
	offered, err := t.mine(got.Heads)
	if err != nil {
		return nil, err
	}
	own, err := t.mine(got.Own)
	if err != nil {
		return nil, err
	}
	if len(offered) == 0 {
		return nil, protocol.Errorf(protocol.Unavailable, "no peer has a head of it; this node is connected to %s", counted(got.Peers, "peer")).
			WithHint("nuka swarm connect finds other nodes; what you have stays in use")
	}
	if best, known := newest(offered), newest(own); known > best {
		t.a.say("%s: the newest head that a peer offers has the number %d, and this node knows number %d: that peer is late, or withholds what is new", t.what, best, known)
	}
	names := map[string]bool{}
	for _, p := range append(own, offered...) {
		names[p.Name] = true
	}
	if t.name == "" && len(names) > 1 {
		list := []string{}
		for name := range names {
			list = append(list, name)
		}
		slices.Sort(list)
		return nil, protocol.Errorf(protocol.Invalid, "the key signs several: %s", strings.Join(list, ", ")).WithHint("say which one: %s/NAME", t.keys[0])
	}
	t.heads = append(own, offered...)
	return t.heads, nil
}

// newest returns the largest number of heads.
func newest(heads []*protocol.Published) (n int64) {
	for _, p := range heads {
		n = max(n, p.Number)
	}
	return n
}

// mine decodes the heads of this kind and name.
func (t *swarmTree) mine(texts []string) (heads []*protocol.Published, err error) {
	for _, text := range texts {
		p, err := protocol.DecodePublished([]byte(text))
		if err != nil {
			return nil, protocol.Errorf(protocol.Damaged, "the node sent a wrong head: %w", err)
		}
		if p.Kind == t.kind && (t.name == "" || p.Name == t.name) && slices.Contains(t.keys, p.Signer) {
			heads = append(heads, p)
		}
	}
	return heads, nil
}

// Root has the node fetch a tree that the heads name.
func (t *swarmTree) Root(ctx context.Context, root cid.CID) error {
	if err := t.connect(ctx); err != nil {
		return err
	}
	args := protocol.PublishedArgs{Action: protocol.ActionGet, Size: t.most}
	for _, p := range t.heads {
		if p.Root == root && !slices.Contains(args.Heads, string(p.Text)) {
			args.Heads = append(args.Heads, string(p.Text))
		}
	}
	args.Heads = args.Heads[:min(len(args.Heads), protocol.MaxPublishedKeys)]
	progress := newProgress(t.a.terminal, false)
	err := t.client.Call(ctx, protocol.OpPublished, args, nil, &control.CallOptions{Event: progress.event})
	progress.close()
	if err != nil {
		return err
	}
	t.folders = map[string]map[string]protocol.Entry{}
	return t.folder(ctx, "", root.String())
}

func (t *swarmTree) folder(ctx context.Context, name, id string) error {
	list, err := readFolder(ctx, t.client, id)
	if err != nil {
		return err
	}
	t.folders[name] = map[string]protocol.Entry{}
	for _, e := range list {
		t.folders[name][e.Path] = e
	}
	return nil
}

// Get implements feed.Origin.
func (t *swarmTree) Get(ctx context.Context, name string, most int64) ([]byte, error) {
	if name == feed.HeadsFile {
		heads, err := t.ask(ctx)
		if err != nil {
			return nil, err
		}
		var text []byte
		for _, p := range heads {
			text = append(append(text, p.Text...), '\n')
		}
		return text, nil
	}
	dir, base, inside := strings.Cut(name, "/")
	if !inside {
		dir, base = "", name
	}
	if t.folders[dir] == nil {
		e, there := t.folders[""][dir]
		if !there || e.Kind != protocol.KindDir {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if err := t.folder(ctx, dir, e.CID); err != nil {
			return nil, err
		}
	}
	e, there := t.folders[dir][base]
	switch {
	case !there || e.Kind != protocol.KindFile:
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	case e.Size > most:
		return nil, protocol.Errorf(protocol.Exhausted, "%s has %d bytes, want at most %d", name, e.Size, most)
	}
	var b bytes.Buffer
	if err := t.client.Call(ctx, protocol.OpRead, protocol.PathArgs{ID: e.CID}, nil, &control.CallOptions{Reply: &b}); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// obtainSet gets a package set from the swarm into a folder, with the newest head of its signer.
func (a *app) obtainSet(ctx context.Context, s *set.Set, out string) error {
	t := &swarmTree{a: a, kind: protocol.PublishedSet, what: "package set " + s.Name, where: s.From, name: s.Title, keys: []protocol.Key{s.Signer}, most: set.MaxBytes}
	defer t.Close()
	err := t.set(ctx, out)
	if err != nil && s.Root.IsZero() {
		t.abandon(ctx)
	}
	return err
}

// set gets the newest state of a package set into a folder.
func (t *swarmTree) set(ctx context.Context, out string) error {
	heads, err := t.ask(ctx)
	if err != nil {
		return err
	}
	var best *protocol.Published
	for _, p := range heads { // a head that jumps far ahead counts only if nothing else does: a thief may want to use up all numbers
		if best == nil || p.Number > best.Number && p.Number-best.Number <= protocol.MaxFeedStep || best.Number-p.Number > protocol.MaxFeedStep {
			best = p
		}
		if p.Number == best.Number && p.Root != best.Root {
			return protocol.Errorf(protocol.Differs, "there are two heads of number %d", p.Number).WithHint("its author contradicts itself; what you have stays in use")
		}
	}
	if err := t.Root(ctx, best.Root); err != nil {
		return err
	}
	if err := (&treeCopy{client: t.client}).folder(ctx, best.Root.String(), out, 0); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, set.HeadFile), append(best.Text, '\n'), 0o600)
}

// followed returns the keys of the feeds and package sets that come from the swarm.
func (a *app) followed() (map[protocol.Key]bool, error) {
	keys := map[protocol.Key]bool{}
	feeds, err := a.advisories()
	if err != nil {
		return nil, err
	}
	list, err := feeds.List()
	if err != nil {
		return nil, err
	}
	for i := range list {
		if place, err := swarmPlaceOf(list[i].From, protocol.PublishedFeed); err == nil && place != nil {
			for _, k := range list[i].Keys {
				keys[k] = true
			}
		}
	}
	sets, err := a.setFolder()
	if err != nil {
		return nil, err
	}
	all, err := sets.List()
	for i := range all {
		if place, err := swarmPlaceOf(all[i].From, protocol.PublishedSet); err == nil && place != nil {
			keys[all[i].Signer] = true
		}
	}
	return keys, err
}

// unfollow tells the node which keys of before the user does not follow any more.
func (a *app) unfollow(ctx context.Context, before map[protocol.Key]bool) error {
	now, err := a.followed()
	if err != nil {
		return err
	}
	var gone []protocol.Key
	for k := range before {
		if !now[k] {
			gone = append(gone, k)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for part := range slices.Chunk(gone, protocol.MaxPublishedKeys) {
		if err := client.Call(ctx, protocol.OpPublished, protocol.PublishedArgs{Action: protocol.ActionRemove, Keys: part, Follow: true}, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

var _ feed.Rooted = (*swarmTree)(nil)
