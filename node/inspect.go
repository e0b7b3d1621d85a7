package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// This file answers calls about the contents of the store.

func entry(e cas.Entry) protocol.Entry {
	kind := map[cas.Kind]protocol.EntryKind{cas.Dir: protocol.KindDir, cas.File: protocol.KindFile, cas.Symlink: protocol.KindSymlink}
	return protocol.Entry{Path: e.Path, Kind: kind[e.Kind], Exec: e.Exec, Size: e.Size, Target: e.Target, CID: e.CID.String()}
}

func (h *handler) describe(ctx context.Context, a protocol.PathArgs) (*protocol.Description, error) {
	p, c, err := h.object(a.ID)
	if err != nil {
		return nil, err
	}
	d := &protocol.Description{CID: c.String()}
	if !p.IsZero() {
		d.PID = p.String()
		if err := h.describePIR(d, p); err != nil {
			return nil, err
		}
	}
	if c.IsZero() {
		if d.PIR == "" {
			return nil, protocol.Errorf(protocol.NotFound, "this node knows nothing of %s", a.ID)
		}
		return d, nil
	}
	for other, err := range h.store.PIDs(c) {
		if err != nil {
			return nil, err
		}
		d.PIDs = append(d.PIDs, other.String())
	}
	root, err := h.store.Lookup(ctx, c, "")
	if err != nil {
		return nil, cas.Coded(err)
	}
	e := entry(root)
	d.Root = &e
	for e, err := range h.store.Entries(ctx, c) {
		if err != nil {
			return nil, cas.Coded(err)
		}
		d.Size += e.Size
	}
	return d, nil
}

func (h *handler) describePIR(d *protocol.Description, id pir.PID) error {
	canonical, origins, err := h.store.PIR(id)
	if err != nil && !errors.Is(err, cas.ErrNotFound) {
		return err
	}
	if err == nil {
		p, err := pir.Decode(canonical)
		if err != nil {
			return err
		}
		d.PIR, d.Kind, d.Name, d.Version = string(canonical), p.Kind, p.Name, p.Version
		if v, err := nuon.Decode(origins); err == nil {
			list, _ := v.(nuon.List)
			for _, o := range list {
				text, err := nuon.Encode(o)
				if err != nil {
					return err
				}
				d.Origins = append(d.Origins, string(text))
			}
		}
	}
	for at, err := range h.store.Attestations(id) {
		if err != nil {
			return err
		}
		d.Attestations = append(d.Attestations, protocol.Attested{
			Signer: at.Signer.String(), CID: at.CID.String(), Issued: at.Issued, Expires: at.Expires,
		})
		if at.Signer == h.key {
			for _, ref := range at.Refs {
				d.Refs = append(d.Refs, ref.String())
			}
		}
	}
	return nil
}

func (h *handler) list(ctx context.Context, a protocol.PathArgs) ([]protocol.Entry, error) {
	_, root, err := h.content(a.ID)
	if err != nil {
		return nil, err
	}
	at, err := h.store.Lookup(ctx, root, cleanPath(a.Path))
	if err != nil {
		return nil, noPath(a, err)
	}
	entries := []protocol.Entry{}
	for e, err := range h.store.Entries(ctx, at.CID) {
		if err != nil {
			return nil, cas.Coded(err)
		}
		if e.Path == "" && e.Kind == cas.Dir {
			continue
		}
		if e.Path == "" {
			e.Path = path.Base(at.Path)
		}
		entries = append(entries, entry(e))
	}
	return entries, nil
}

func cleanPath(p string) string { return strings.Trim(path.Clean("/"+p), "/") }

func noPath(a protocol.PathArgs, err error) error {
	if errors.Is(err, cas.ErrNotFound) {
		return protocol.Errorf(protocol.NotFound, "%.60s has no path %q", a.ID, a.Path).WithHint("see what it has: nuka ls %.60s", a.ID)
	}
	return cas.Coded(err)
}

func (h *handler) read(ctx context.Context, out io.Writer, a protocol.PathArgs) error {
	_, root, err := h.content(a.ID)
	if err != nil {
		return err
	}
	e, err := h.follow(ctx, root, cleanPath(a.Path))
	if err != nil {
		return noPath(a, err)
	}
	if e.Kind != cas.File {
		return protocol.Errorf(protocol.Invalid, "%q is a %s", a.Path, e.Kind).WithHint("see what is in it: nuka ls %.60s %s", a.ID, a.Path)
	}
	f, err := h.store.OpenFile(ctx, e.CID)
	if err != nil {
		return cas.Coded(err)
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}

func (h *handler) buildLog(_ context.Context, out io.Writer, a protocol.PathArgs) error {
	id, err := pir.ParsePID(a.ID)
	if err != nil {
		// A failed build has a log but no binding, by which object would find it.
		if id, err = h.logByPrefix(a.ID); err != nil {
			return err
		}
	}
	f, err := os.Open(h.realizer.LogPath(id))
	if errors.Is(err, os.ErrNotExist) {
		return protocol.Errorf(protocol.NotFound, "this node has no build log of %s", id.Short()).
			WithHint("only builds on this node have one")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}

func (h *handler) logByPrefix(prefix string) (pir.PID, error) {
	list, err := os.ReadDir(path.Dir(h.realizer.LogPath(pir.PID{})))
	if err != nil {
		return pir.PID{}, err
	}
	var found []string
	for _, e := range list {
		if len(prefix) >= 4 && strings.HasPrefix(e.Name(), prefix) {
			found = append(found, e.Name())
		}
	}
	if len(found) != 1 {
		return pir.PID{}, protocol.Errorf(protocol.NotFound, "%d builds with a log begin with %.60q", len(found), prefix)
	}
	return pir.ParsePID(found[0])
}

func (h *handler) stats(ctx context.Context, _ *request) (*protocol.Stats, error) {
	s, err := h.store.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("stats: %w", err)
	}
	return &protocol.Stats{
		Files: int64(s.Files), FileBytes: s.Bytes, LogicalBytes: s.Logical, Blocks: int64(s.Blocks), PIRs: int64(s.PIRs),
		Bindings: int64(s.Bindings), Attestations: int64(s.Attestations), Damaged: int64(s.Damaged),
	}, nil
}
