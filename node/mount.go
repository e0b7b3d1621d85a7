package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/fsmount"
	"github.com/MordragT/nuka/fsmount/checkout"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// mountWait is how long a call waits for the file system to be mounted.
const mountWait = 20 * time.Second

// surface shows the packages of the store as folders: through a mount, or as checkouts.
type surface struct {
	h     *handler
	path  string
	ready chan struct{} // closed when the way is chosen, and a mount answers

	mu        sync.Mutex
	how       string // fuse, checkout or off
	why       string // why it is not a better one
	mount     *fsmount.Mount
	checkouts *checkout.Checkouts
}

func newSurface(h *handler) *surface {
	return &surface{h: h, path: h.home.Mount(), ready: make(chan struct{}), how: config.MountOff, why: "it is being mounted"}
}

// run shows packages as the setting mount says until ctx ends.
func (s *surface) run(ctx context.Context) {
	way := s.h.config.Get().Mount
	var err error
	switch way {
	case config.MountOff:
		s.choose(config.MountOff, "config.nuon has mount: off")
	case config.MountCheckout:
		err = s.openCheckouts("config.nuon has mount: checkout")
	default:
		var problem error
		if problem = s.serve(ctx); problem == nil || ctx.Err() != nil {
			return
		}
		if way == config.MountFUSE {
			err = problem
			break
		}
		s.h.log.Info("packages are checked out", "reason", problem)
		err = s.openCheckouts(problem.Error())
	}
	if err != nil {
		s.h.log.Error("packages are not shown as folders", "error", err)
		s.choose(config.MountOff, err.Error())
	}
}

func (s *surface) choose(how, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.how, s.why = how, why
	close(s.ready)
}

func (s *surface) openCheckouts(why string) error {
	c, err := checkout.Open(&checkout.Options{Store: s.h.store, Path: s.path, Fetch: s.h.bring, Log: s.h.log})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.checkouts = c
	s.mu.Unlock()
	s.choose(config.MountCheckout, why)
	return nil
}

// serve mounts and serves until ctx ends. An error says why nothing could be mounted.
func (s *surface) serve(ctx context.Context) error {
	o := &fsmount.Options{
		Store: s.h.store, Path: s.path, Run: s.h.home.Run, Slots: s.h.home.Slots(), Disk: s.h.home.Store(), Fetch: s.h.bring, Log: s.h.log,
	}
	if s.h.config.Get().MountRealize {
		o.Realize = func(ctx context.Context, p pir.PID) error {
			_, err := s.h.realizer.Realize(ctx, &realize.Request{Wanted: []pir.PID{p}, Local: true})
			if err != nil && protocol.CodeOf(err) == protocol.NotFound {
				return fmt.Errorf("%w: %w", cas.ErrNotFound, err)
			}
			return err
		}
	}
	m, err := fsmount.New(o)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- m.Run(running) }()
	wait, end := context.WithTimeout(ctx, mountWait)
	err = m.Wait(wait)
	end()
	if err != nil {
		stop()
		return errors.Join(err, <-done)
	}
	s.mu.Lock()
	s.mount = m
	s.mu.Unlock()
	s.choose(config.MountFUSE, "")
	return <-done
}

// state describes how packages are shown.
func (s *surface) state() protocol.MountState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := protocol.MountState{Path: s.path, How: s.how, Why: s.why}
	if s.mount != nil {
		now := s.mount.State()
		st.Why, st.Passthrough = now.Problem, now.Passthrough
		if !now.Mounted {
			st.How = config.MountOff
		}
	}
	return st
}

// changed tells a mount that a package has another content or is gone, and removes a checkout that is no longer right.
func (s *surface) changed(list ...pir.PID) {
	s.mu.Lock()
	m, c := s.mount, s.checkouts
	s.mu.Unlock()
	var err error
	if m != nil {
		err = m.Changed(list...)
	}
	if c != nil {
		err = errors.Join(err, c.Gone(list...))
	}
	if err != nil {
		s.h.log.Error("tell the mount of changes", "error", err)
	}
}

// ofCollection returns what a collection needs of the surface.
func (s *surface) ofCollection() Mount {
	return Mount{
		Held: s.held,
		Gone: func(list []pir.PID) { s.changed(list...) },
	}
}

// held returns the packages of a list that a collection must spare, because a program has files of them open in the mount.
func (s *surface) held(list []pir.PID) []pir.PID {
	s.mu.Lock()
	m := s.mount
	s.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.Held(list)
}

// inUse reports whether a program has files open in the mount.
func (s *surface) inUse() bool {
	s.mu.Lock()
	m := s.mount
	s.mu.Unlock()
	return m != nil && m.InUse()
}

// keptAsFolder describes the lease of show.
const keptAsFolder = "a command that sees it as a folder"

// show answers OpMount: it makes packages visible and returns the folder that they are in. It refuses content that does not count for the caller, so that a
// command can ask it first and realize only what is refused. The packages are kept until the caller's connection ends.
func (h *handler) show(ctx context.Context, r *request, a protocol.MountArgs) (*protocol.MountState, error) {
	h.keepForCaller(r, keptAsFolder).KeepPIDs(a.Packages...)
	realizer, err := h.realizerOf(r)
	if err != nil {
		return nil, err
	}
	if _, err := realizer.Closure(a.Packages...); err != nil {
		return nil, err
	}
	st, err := h.visible(ctx, a.Packages)
	if err == nil {
		err = h.store.Use(ctx, time.Now(), a.Packages...)
	}
	return st, err
}

// visible makes packages visible as folders.
func (h *handler) visible(ctx context.Context, packages []pir.PID) (*protocol.MountState, error) {
	select {
	case <-h.surface.ready:
	case <-time.After(mountWait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	st := h.surface.state()
	if st.How == config.MountOff {
		return nil, protocol.Errorf(protocol.Unsupported, "this node shows no packages as folders: %s", st.Why).
			WithHint("set mount: auto in config.nuon, or mount: checkout where the system has no FUSE")
	}
	for _, p := range packages {
		content, err := h.store.CID(p)
		if err != nil {
			if errors.Is(err, cas.ErrNotFound) {
				return nil, protocol.Errorf(protocol.NotFound, "%s is not in the store", p.Short()).WithHint("build it first: nuka build PKG")
			}
			return nil, err
		}
		st.Contents = append(st.Contents, content.String())
		if h.surface.checkouts == nil {
			continue
		}
		if _, err := h.surface.checkouts.Make(ctx, p); err != nil {
			return nil, cas.Coded(err)
		}
	}
	return &st, nil
}

// showInputs makes the inputs of a native build visible and returns the folder that they are in. It is an error if one of them has another content by now
// than the build is made from.
func (h *handler) showInputs(ctx context.Context, inputs []realize.Input) (string, error) {
	ids := make([]pir.PID, len(inputs))
	for i, in := range inputs {
		ids[i] = in.PID
	}
	st, err := h.visible(ctx, ids)
	if err != nil {
		return "", err
	}
	for _, in := range inputs {
		if c, err := h.store.CID(in.PID); err != nil || c != in.CID {
			return "", protocol.Errorf(protocol.Busy, "the content of %s has just changed", in.PID.Short()).WithHint("build again")
		}
	}
	return filepath.EvalSymlinks(st.Path)
}

// bring brings back a package of which files are missing or damaged, for a program that opens one: from peers, or by making it again.
func (h *handler) bring(ctx context.Context, p pir.PID, root cid.CID) error {
	h.repairing.Lock()
	defer h.repairing.Unlock()
	if missing, err := h.store.Missing(ctx, root); err == nil && len(missing) == 0 {
		return nil // another repair was faster
	}
	ids := []pir.PID{p}
	for other, err := range h.store.PIDs(root) {
		if err != nil {
			return err
		}
		if other != p {
			ids = append(ids, other)
		}
	}
	return h.repairContent(ctx, ids, root, false, func(protocol.Event) {})
}

// shownStore is the store, which tells the surface of new contents of packages.
type shownStore struct {
	*cas.Store
	surface *surface
}

// Bind binds as the store does, and the surface shows the new content.
func (s *shownStore) Bind(ctx context.Context, a protocol.Attestation) error {
	before, err := s.Store.CID(a.PID)
	same := err == nil && before == a.CID
	if err := s.Store.Bind(ctx, a); err != nil {
		return err
	}
	if !same {
		s.surface.changed(a.PID)
	}
	return nil
}
