package fhs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A Kind says what an entry is.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota + 1
	Dir
	Link
)

// An Entry is a file, folder or symbolic link of a tree.
type Entry struct {
	Path   string // below the root, with slashes; empty for the root
	Kind   Kind
	Exec   bool   // of a file
	Size   int64  // of a file
	Target string // of a link
	// CID identifies the content of a file. It is zero for a new file, whose bytes are Data. The caller may also set Data for a file that
	// Compose reads.
	CID  cid.CID
	Data []byte
}

// same reports whether both have the same content.
func (e *Entry) same(o *Entry) bool {
	if e.Kind != o.Kind {
		return false
	}
	switch e.Kind {
	case Dir:
		return true
	case Link:
		return e.Target == o.Target
	}
	return e.CID == o.CID && (!e.CID.IsZero() || e.Exec == o.Exec && string(e.Data) == string(o.Data))
}

// A Package is one package of an environment.
type Package struct {
	Name string // in the environment; each once
	// Merge says how the files enter the environment. Its paths are those of the package.
	Merge pir.Merge
	// Entries are the entries of its tree: each folder before what is below it. Merge and Compose take them over, and change them.
	Entries []Entry
}

// A Tree is the entries of an environment, in no order. Folders above an entry may be absent.
type Tree struct {
	Entries []*Entry
	// Size is the bytes of all files.
	Size int64
	// Notes are sentences about what the tree lacks, for the user.
	Notes []string
}

// Merge merges the trees of packages as they are. Folders are merged; a file or link may be in several trees if it is the same in all.
// If two trees differ at a path, the package of the larger priority provides it; without one, that is an error which names both.
func Merge(packages []Package) (*Tree, error) {
	m := newMerger(packages)
	for _, p := range inOrder(packages) {
		if err := m.add(&p, func(at string, _ *Entry) (string, bool) { return at, true }); err != nil {
			return nil, err
		}
	}
	return m.tree(), nil
}

// inOrder returns the packages by priority, the largest first, and by name.
func inOrder(packages []Package) []Package {
	packages = slices.Clone(packages)
	slices.SortFunc(packages, func(a, b Package) int {
		return cmp.Or(cmp.Compare(b.Merge.Priority, a.Merge.Priority), strings.Compare(a.Name, b.Name))
	})
	return packages
}

// A merger puts the entries of packages into one tree.
type merger struct {
	places map[string]place
}

// A place is a path of the tree, and the package that provides it.
type place struct {
	*Entry          // nil: nothing is there
	from   *Package // nil: derived
}

func newMerger(packages []Package) *merger {
	n := 0
	for i := range packages {
		n += len(packages[i].Entries)
	}
	return &merger{places: make(map[string]place, n)}
}

// add adds the tree of a package. move returns the path of an entry in the environment, and whether it is in there; it gets the path
// that the package's Merge gives the entry, and may change the target of a link. A package must not be added after one of smaller priority.
func (m *merger) add(p *Package, move func(at string, e *Entry) (string, bool)) error {
	plain := p.Merge.IsZero()
	for i := range p.Entries {
		e := &p.Entries[i]
		if e.Path == "" {
			if e.Kind != Dir {
				return protocol.Errorf(protocol.Invalid, "environment: %s is a single file, which cannot be merged", p.Name)
			}
			continue
		}
		at, own, kept := e.Path, e.Path, true
		if !plain {
			at, kept = p.Merge.Path(at)
		}
		if kept {
			at, kept = move(at, e)
		}
		if !kept {
			continue
		}
		hidden, err := m.above(p, at, own)
		if err == nil && !hidden {
			_, err = m.put(p, at, own, e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// above makes the folders above a path, which may be new: a moved path. It reports true if a package of a larger priority provides something
// else there.
func (m *merger) above(p *Package, at, own string) (hidden bool, err error) {
	last := strings.LastIndexByte(at, '/')
	if last < 0 {
		return false, nil
	}
	if have := m.places[at[:last]]; have.Entry != nil && have.Kind == Dir {
		return false, nil
	}
	for i := 0; i <= last && !hidden && err == nil; i++ {
		if at[i] == '/' {
			hidden, err = m.put(p, at[:i], own, &Entry{Kind: Dir})
		}
	}
	return hidden, err
}

// put puts an entry at a path; own is its path in the package. It reports true if a package of a larger priority provides something else there.
func (m *merger) put(p *Package, at, own string, e *Entry) (hidden bool, err error) {
	have, taken := m.places[at]
	if !taken {
		e.Path = at
		m.places[at] = place{e, p}
		return false, nil
	}
	if e.same(have.Entry) {
		return false, nil
	}
	other := have.from
	switch {
	case other == p:
		return false, protocol.Errorf(protocol.Invalid, "environment: two files of %s become %s", p.Name, at).WithHint("rename one of them to another name")
	case other.Merge.Priority > p.Merge.Priority:
		return true, nil
	}
	return false, protocol.Errorf(protocol.Invalid, "environment: %s and %s both have %s, and they differ", other.Name, p.Name, at).
		WithHint("let one of them win, leave the file out, or rename it: --priority 1, --leave %s, --rename %s=NAME; in a package file: the field merge", own, own)
}

func (m *merger) tree() *Tree {
	t := &Tree{Entries: make([]*Entry, 0, len(m.places))}
	for _, p := range m.places {
		t.Entries = append(t.Entries, p.Entry)
		if p.Kind == File {
			t.Size += p.Size
		}
	}
	return t
}
