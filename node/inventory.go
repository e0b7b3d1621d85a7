package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/ecosystem/adapters"
	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// inventory answers OpInventory: it lists the parts of a package, from descriptions of the caller's evaluation and of the store, and from content of the store.
func (h *handler) inventory(ctx context.Context, r *request, a protocol.InventoryArgs) (any, error) {
	if err := a.Receive(r.Data); err != nil {
		return nil, err
	}
	known := map[pir.PID]protocol.Package{}
	for _, p := range a.Packages {
		known[pir.Sum([]byte(p.PIR))] = p
	}
	id, err := pir.ParsePID(a.ID)
	if err != nil || known[id].PIR == "" {
		if id, _, err = h.object(a.ID); err != nil {
			return nil, err
		}
	}
	if id.IsZero() {
		return nil, protocol.Errorf(protocol.Invalid, "inventory: %.60s is a CID, and only a PID tells what something is made from", a.ID).
			WithHint("give a PID; nuka show lists those with this content")
	}
	s := inventoryStore{h, known}
	if _, _, err := s.Describe(id); err != nil {
		return nil, protocol.Errorf(protocol.NotFound, "this node has no description of %s", id.Short()).WithHint("name the package file, so that the command describes it")
	}
	all, err := inventory.Collect(ctx, s, id, &inventory.Options{Own: a.Own, Notices: adapters.Notices})
	if err != nil {
		return nil, cas.Coded(err)
	}
	lines := bufio.NewWriterSize(r.Reply, 64<<10)
	text := json.NewEncoder(lines)
	if err := text.Encode(protocol.InventoryHead[inventory.Part]{Root: all.Root, Missing: all.Missing, Parts: len(all.Parts)}); err != nil {
		return nil, err
	}
	for i := range all.Parts {
		if err := text.Encode(&all.Parts[i]); err != nil {
			return nil, err
		}
	}
	return nil, lines.Flush()
}

// inventoryStore implements inventory.Store with the store and with what the caller described.
type inventoryStore struct {
	h     *handler
	known map[pir.PID]protocol.Package
}

// Describe implements inventory.Store.
func (s inventoryStore) Describe(id pir.PID) (canonical []byte, origins [][]byte, err error) {
	if p, ok := s.known[id]; ok {
		for _, o := range p.Origins {
			origins = append(origins, []byte(o))
		}
		return []byte(p.PIR), origins, nil
	}
	canonical, text, err := s.h.store.PIR(id)
	if err != nil {
		return nil, nil, absent(err)
	}
	if v, err := nuon.Decode(text); err == nil {
		list, _ := v.(nuon.List)
		for _, o := range list {
			one, err := nuon.Encode(o)
			if err != nil {
				return nil, nil, err
			}
			origins = append(origins, one)
		}
	}
	return canonical, origins, nil
}

// absent returns err, as one that wraps inventory.ErrAbsent if it says that the store lacks something.
func absent(err error) error {
	if errors.Is(err, cas.ErrNotFound) {
		return fmt.Errorf("%w: %w", inventory.ErrAbsent, err)
	}
	return err
}

// Recording implements inventory.Store. The environment of a recording is hardly ever realized for a caller that has built nothing, but the recording itself is there.
func (s inventoryStore) Recording(ctx context.Context, id pir.PID) ([]byte, error) {
	if canonical, _, err := s.Describe(id); err == nil {
		p, err := pir.Decode(canonical)
		if err != nil {
			return nil, err
		}
		if self := p.Packages[ecosystem.RecordingFile]; !self.IsZero() {
			e, err := s.fixed(ctx, self)
			if err == nil {
				return s.text(ctx, e)
			}
			if !errors.Is(err, inventory.ErrAbsent) {
				return nil, err
			}
		}
	}
	c, err := s.h.store.CID(id)
	if err != nil {
		return nil, absent(err)
	}
	e, err := s.h.follow(ctx, c, ecosystem.RecordingFile)
	if err != nil {
		return nil, absent(err)
	}
	return s.text(ctx, e)
}

// fixed finds the file of a fetch. A file that was only sent to the node is known by its content, which the hash of the fetch is.
func (s inventoryStore) fixed(ctx context.Context, id pir.PID) (cas.Entry, error) {
	if c, err := s.h.store.CID(id); err == nil {
		e, err := s.h.store.Lookup(ctx, c, "")
		return e, absent(err)
	}
	canonical, _, err := s.Describe(id)
	if err != nil {
		return cas.Entry{}, err
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return cas.Entry{}, err
	}
	for _, c := range p.Hash.CIDs() {
		e, err := s.h.store.Lookup(ctx, c, "")
		if !errors.Is(err, cas.ErrNotFound) {
			return e, err
		}
	}
	return cas.Entry{}, inventory.ErrAbsent
}

func (s inventoryStore) text(ctx context.Context, e cas.Entry) ([]byte, error) {
	if e.Kind != cas.File || e.Size > ecosystem.MaxRecording {
		return nil, protocol.Errorf(protocol.Invalid, "inventory: the recording is no file of at most %d bytes", ecosystem.MaxRecording)
	}
	f, err := s.h.store.OpenFile(ctx, e.CID)
	if err != nil {
		return nil, absent(err)
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Content implements inventory.Store.
func (s inventoryStore) Content(ctx context.Context, id pir.PID) iter.Seq2[inventory.Entry, error] {
	return func(yield func(inventory.Entry, error) bool) {
		c, err := s.h.store.CID(id)
		if err != nil {
			yield(inventory.Entry{}, absent(err))
			return
		}
		for e, err := range s.h.store.Entries(ctx, c) {
			if err != nil {
				yield(inventory.Entry{}, absent(err))
				return
			}
			if e.Kind != cas.File {
				continue
			}
			open := func() (inventory.OpenFile, error) {
				f, err := s.h.store.OpenFile(ctx, e.CID)
				if err != nil {
					return nil, absent(err)
				}
				return f, nil
			}
			if !yield(inventory.Entry{Path: e.Path, Size: e.Size, Exec: e.Exec, Open: open}, nil) {
				return
			}
		}
	}
}
