package castest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Model is a store in memory. It keeps the entries of trees as a list, and looks up nothing by hash.
// One goroutine may use it at a time.
type Model struct {
	trees  map[cid.CID][]cas.Entry // root → entries
	files  map[cid.CID][]byte
	blocks map[cid.CID][]byte
	pirs   map[pir.PID][2][]byte
	atts   map[pir.PID][]protocol.Attestation
	bound  map[pir.PID]cid.CID
	roots  map[string]cas.Root
}

// NewModel returns an empty model.
func NewModel() *Model {
	return &Model{
		trees: map[cid.CID][]cas.Entry{}, files: map[cid.CID][]byte{}, blocks: map[cid.CID][]byte{},
		pirs: map[pir.PID][2][]byte{}, atts: map[pir.PID][]protocol.Attestation{},
		bound: map[pir.PID]cid.CID{}, roots: map[string]cas.Root{},
	}
}

// Import implements Store.
func (m *Model) Import(ctx context.Context, fsys fs.FS, o *cas.ImportOptions) (cid.CID, error) {
	if o == nil {
		o = &cas.ImportOptions{}
	}
	next := &Model{trees: map[cid.CID][]cas.Entry{}, files: map[cid.CID][]byte{}, blocks: map[cid.CID][]byte{}}
	if err := ctx.Err(); err != nil {
		return cid.CID{}, err
	}
	var entries []cas.Entry
	var err error
	if o.File != "" {
		var e cas.Entry
		e, err = next.file(fsys, o.File, o)
		e.Path = ""
		entries = []cas.Entry{e}
		next.trees[e.CID] = entries
	} else {
		entries, err = next.dir(fsys, ".", o)
	}
	if err != nil {
		return cid.CID{}, err
	}
	maps.Copy(m.trees, next.trees)
	maps.Copy(m.files, next.files)
	maps.Copy(m.blocks, next.blocks)
	return entries[0].CID, nil
}

// dir lists a directory and everything below it, with paths relative to the directory.
func (m *Model) dir(fsys fs.FS, name string, o *cas.ImportOptions) ([]cas.Entry, error) {
	list, err := fs.ReadDir(fsys, name)
	if err != nil {
		return nil, err
	}
	entries := []cas.Entry{{Kind: cas.Dir}}
	var links []cid.DirEntry
	for _, d := range list {
		if err := cid.CheckName(d.Name()); err != nil {
			return nil, err
		}
		child := path.Join(name, d.Name())
		var e cas.Entry
		switch d.Type() {
		case fs.ModeDir:
			below, err := m.dir(fsys, child, o)
			if err != nil {
				return nil, err
			}
			for i := range below {
				below[i].Path = strings.TrimSuffix(d.Name()+"/"+below[i].Path, "/")
			}
			entries = append(entries, below...)
			e = below[0]
		case fs.ModeSymlink:
			target, err := fs.ReadLink(fsys, child)
			if err == nil {
				err = cid.CheckTarget(target)
			}
			if err != nil {
				return nil, err
			}
			c, b := cid.Symlink(target)
			m.blocks[c] = b.Data
			e = cas.Entry{Path: d.Name(), Kind: cas.Symlink, Target: target, CID: c}
			entries = append(entries, e)
		case 0:
			if e, err = m.file(fsys, child, o); err != nil {
				return nil, err
			}
			e.Path = d.Name()
			entries = append(entries, e)
		default:
			return nil, cid.ErrFileType
		}
		if e.Kind != cas.Dir {
			alone := e
			alone.Path = ""
			m.trees[e.CID] = []cas.Entry{alone}
		}
		links = append(links, cid.DirEntry{Name: d.Name(), CID: e.CID, Tsize: m.tsize(e.CID)})
	}
	c, blocks, err := cid.Dir(links)
	if err != nil {
		return nil, err
	}
	for _, b := range blocks {
		m.blocks[b.CID] = b.Data
	}
	entries[0].CID = c
	m.trees[c] = slices.Clone(entries)
	return entries, nil
}

// tsize returns the total size of a block and all blocks below it.
func (m *Model) tsize(c cid.CID) int64 {
	size := int64(len(m.blocks[c]))
	if c.Codec() == cid.DagPB {
		n, err := cid.Decode(m.blocks[c])
		if err != nil {
			panic(err) // the block was just encoded
		}
		for _, l := range n.Links {
			size += m.tsize(l.CID)
		}
	}
	return size
}

func (m *Model) file(fsys fs.FS, name string, o *cas.ImportOptions) (cas.Entry, error) {
	info, err := fs.Stat(fsys, name)
	if err == nil {
		err = cid.CheckFile(info)
	}
	if err != nil {
		return cas.Entry{}, err
	}
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return cas.Entry{}, err
	}
	exec := info.Mode()&0o111 != 0
	if o.Exec != nil {
		exec = o.Exec(name, info)
	}
	f := cid.NewFile(exec)
	f.Write(b) //nolint:errcheck // never fails
	c, size, nodes, leaves := f.Finish()
	for _, n := range nodes {
		m.blocks[n.CID] = n.Data
	}
	for _, l := range leaves {
		m.blocks[l.CID] = b[l.Offset : l.Offset+l.Size]
	}
	m.files[c] = b
	return cas.Entry{Kind: cas.File, Exec: exec, Size: size, CID: c}, nil
}

// Has implements Store.
func (m *Model) Has(c cid.CID) (bool, error) {
	_, ok := m.blocks[c]
	return ok, nil
}

// Entries implements Store.
func (m *Model) Entries(_ context.Context, root cid.CID) iter.Seq2[cas.Entry, error] {
	return func(yield func(cas.Entry, error) bool) {
		entries, ok := m.trees[root]
		if !ok {
			yield(cas.Entry{}, cas.ErrNotFound)
			return
		}
		entries = slices.Clone(entries)
		// Depth first order compares the components of paths, not their bytes.
		slices.SortFunc(entries, func(a, b cas.Entry) int {
			return slices.Compare(strings.Split(a.Path, "/"), strings.Split(b.Path, "/"))
		})
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Lookup implements Store.
func (m *Model) Lookup(_ context.Context, root cid.CID, name string) (cas.Entry, error) {
	entries, ok := m.trees[root]
	if !ok {
		return cas.Entry{}, cas.ErrNotFound
	}
	if name != "" {
		for part := range strings.SplitSeq(name, "/") {
			if err := cid.CheckName(part); err != nil {
				return cas.Entry{}, err
			}
		}
	}
	for _, e := range entries {
		if e.Path == name {
			return e, nil
		}
	}
	return cas.Entry{}, cas.ErrNotFound
}

// ReadFile implements Store.
func (m *Model) ReadFile(_ context.Context, c cid.CID) ([]byte, error) {
	b, ok := m.files[c]
	if ok {
		return b, nil
	}
	if _, ok := m.blocks[c]; ok && c.Codec() == cid.DagPB {
		return nil, errors.New("not a file")
	}
	return nil, cas.ErrNotFound
}

// Block implements Store.
func (m *Model) Block(_ context.Context, c cid.CID) ([]byte, error) {
	b, ok := m.blocks[c]
	if !ok {
		return nil, cas.ErrNotFound
	}
	return b, nil
}

// ScanRefs implements Store.
func (m *Model) ScanRefs(ctx context.Context, root cid.CID, candidates []pir.PID) ([]pir.PID, error) {
	found := map[pir.PID]bool{}
	for e, err := range m.Entries(ctx, root) {
		if err != nil {
			return nil, err
		}
		for _, id := range candidates {
			if strings.Contains(e.Target, id.String()) || bytes.Contains(m.files[e.CID], []byte(id.String())) {
				found[id] = true
			}
		}
	}
	return protocol.SortRefs(slices.Collect(maps.Keys(found))), nil
}

// PutPIR implements Store.
func (m *Model) PutPIR(_ context.Context, p pir.PID, canonical, origins []byte) error {
	if pir.Sum(canonical) != p {
		return errors.New("another pid")
	}
	if origins == nil {
		origins = m.pirs[p][1]
	}
	m.pirs[p] = [2][]byte{canonical, origins}
	return nil
}

// PIR implements Store.
func (m *Model) PIR(p pir.PID) (canonical, origins []byte, err error) {
	v, ok := m.pirs[p]
	if !ok {
		return nil, nil, cas.ErrNotFound
	}
	return v[0], v[1], nil
}

// Bind implements Store.
func (m *Model) Bind(_ context.Context, a protocol.Attestation) error {
	if err := a.Verify(); err != nil {
		return err
	}
	if _, ok := m.blocks[a.CID]; !ok {
		return cas.ErrNotFound
	}
	m.attest(a)
	m.bound[a.PID] = a.CID
	return nil
}

// attest keeps a signer's newest attestation for each content, for at most four contents.
func (m *Model) attest(a protocol.Attestation) {
	var kept, same []protocol.Attestation
	for _, old := range m.atts[a.PID] {
		switch {
		case old.Signer != a.Signer:
			kept = append(kept, old)
		case old.CID == a.CID && old.Issued.After(a.Issued):
			return
		case old.CID != a.CID:
			same = append(same, old)
		}
	}
	slices.SortFunc(same, func(a, b protocol.Attestation) int {
		return cmp.Or(a.Issued.Compare(b.Issued), bytes.Compare(a.CID.Bytes(), b.CID.Bytes()))
	})
	if len(same) > 3 {
		same = same[1:]
	}
	m.atts[a.PID] = append(append(kept, same...), a)
}

// Unbind implements Store.
func (m *Model) Unbind(_ context.Context, p pir.PID) error {
	if _, ok := m.bound[p]; !ok {
		return cas.ErrNotFound
	}
	delete(m.bound, p)
	return nil
}

// CID implements Store.
func (m *Model) CID(p pir.PID) (cid.CID, error) {
	c, ok := m.bound[p]
	if !ok {
		return c, fmt.Errorf("cid: %w", cas.ErrNotFound)
	}
	return c, nil
}

// PIDs implements Store.
func (m *Model) PIDs(c cid.CID) iter.Seq2[pir.PID, error] {
	return func(yield func(pir.PID, error) bool) {
		for p, bound := range m.bound {
			if bound == c && !yield(p, nil) {
				return
			}
		}
	}
}

// Attestations implements Store.
func (m *Model) Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error] {
	return func(yield func(protocol.Attestation, error) bool) {
		for _, a := range m.atts[p] {
			if !yield(a, nil) {
				return
			}
		}
	}
}
