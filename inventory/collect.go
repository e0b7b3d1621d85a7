package inventory

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// ErrAbsent is wrapped by errors of a Store that does not have what was asked for.
var ErrAbsent = errors.New("it is not on this node")

// Store is the set of operations that Collect needs of a node. Errors that wrap ErrAbsent leave the inventory incomplete, which it then says.
type Store interface {
	// Describe returns the canonical description of a PID and the origins of a fetch.
	Describe(id pir.PID) (canonical []byte, origins [][]byte, err error)
	// Recording returns the text of a recording.
	Recording(ctx context.Context, id pir.PID) ([]byte, error)
	// Content yields the files of the content of a PID.
	Content(ctx context.Context, id pir.PID) iter.Seq2[Entry, error]
}

// Options are those of Collect. Nil means the whole inventory.
type Options struct {
	// Own leaves out what is not in the recording or in the content of the package itself: its inputs, runtime and sources.
	Own bool
	// Notices returns what a recording says against a release of a package beside ecosystem.Kept; nil: nothing.
	Notices func(*ecosystem.Recording) func(name, version string) string
}

// maxParts bounds an inventory. The largest measured closure, of a desktop application, has 2,600.
const maxParts = 500_000

// Collect returns the inventory of a package.
func Collect(ctx context.Context, store Store, root pir.PID, o *Options) (*Inventory, error) {
	w := &walk{ctx: ctx, store: store, seen: map[visit]bool{}, missing: map[string]bool{}, debs: map[pir.PID][2]string{}}
	if o != nil {
		w.own, w.notices = o.Own, o.Notices
	}
	if err := w.visit(root, place{where: Package}, root); err != nil {
		return nil, err
	}
	out := &Inventory{Root: w.root, Parts: w.all.parts(), Missing: slices.Sorted(maps.Keys(w.missing))}
	return out, nil
}

type visit struct {
	id pir.PID
	place
}

// A place is where something is in the root.
type place struct {
	where Where
	tool  bool // only tools of builds lead there
}

type walk struct {
	ctx     context.Context
	store   Store
	own     bool
	notices func(*ecosystem.Recording) func(name, version string) string
	all     list
	root    Part
	seen    map[visit]bool
	missing map[string]bool
	debs    map[pir.PID][2]string // source packages of Debian packages
}

// visit adds what id is, and what it is made from. at is its place in the root, and of the package of nuka that needs it.
func (w *walk) visit(id pir.PID, at place, of pir.PID) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	first := len(w.seen) == 0
	canonical, origins, err := w.store.Describe(id)
	if errors.Is(err, ErrAbsent) {
		w.missing[fmt.Sprintf("the description of %s is not on this node", id)] = true
		if first {
			w.root = Part{Where: Package, Type: "generic", Name: id.String(), PID: id}
		}
		return nil
	}
	if err != nil {
		return err
	}
	p, err := pir.Decode(canonical)
	if err != nil {
		return fmt.Errorf("inventory: %s: %w", id, err)
	}
	if p.Kind == pir.Fetch {
		part := fromFetch(p, origins, at.where)
		if first {
			w.root, w.seen[visit{id, at}] = part, true
			return nil
		}
		if err := w.debian(id, &part); err != nil {
			return err
		}
		part.Tool, part.Of = at.tool, []pir.PID{of}
		w.all.add(part)
		return nil
	}
	if w.seen[visit{id, at}] || w.seen[visit{id, place{where: at.where}}] { // what was found contained needs no second look as a tool
		return nil
	}
	w.seen[visit{id, at}] = true
	if p.Kind == pir.Data {
		return nil
	}
	if role, _ := p.Policy["role"].(string); role == RoleTool && !first {
		at.tool = true
	}
	part := fromPIR(id, p, at.where)
	part.Tool = at.tool
	switch {
	case first:
		w.root = part
	default:
		part.Of = []pir.PID{of}
		w.all.add(part)
	}
	if len(w.all.at) > maxParts {
		return fmt.Errorf("inventory: %s has more than %d parts", w.root.Name, maxParts)
	}
	for _, vendored := range vendored(p) {
		vendored.Tool, vendored.Of = at.tool, []pir.PID{id}
		w.all.add(vendored)
	}
	if err := w.languages(id, p, at, first); err != nil || w.own {
		return err
	}
	return w.inputs(id, p, at)
}

func (w *walk) inputs(id pir.PID, p *pir.PIR, at place) error {
	below := func(where Where) place {
		if at.where == Package {
			return place{where, at.tool}
		}
		return at
	}
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		if err := w.visit(p.Packages[name], at, id); err != nil {
			return err
		}
	}
	if !p.Runtime.IsZero() {
		// A program that does not run in the environment of its build was made by tools there.
		if err := w.visit(p.Runtime, place{Runtime, at.tool || !runsIn(p)}, id); err != nil {
			return err
		}
	}
	sources := slices.SortedFunc(maps.Values(p.Src.Named), comparePIDs)
	if !p.Src.One.IsZero() {
		sources = append(sources, p.Src.One)
	}
	for _, src := range sources {
		if err := w.visit(src, below(Source), id); err != nil {
			return err
		}
	}
	return nil
}

// runsIn reports whether the programs of a package run in the environment in which they are built.
func runsIn(p *pir.PIR) bool {
	runs, ok := p.RunsIn()
	return ok && runs == p.Runtime
}

// fromPIR returns the part that a package of nuka is.
func fromPIR(id pir.PID, p *pir.PIR, where Where) Part {
	license, _ := p.Policy["license"].(string)
	part := Part{Where: where, Type: "generic", Name: p.Name, Version: p.Version, PURL: purl("generic", p.Name, p.Version, nil), License: license, PID: id}
	list, _ := p.Policy["cves"].(nuon.List)
	for _, v := range list {
		if s, ok := v.(string); ok {
			part.Fixes = append(part.Fixes, s)
		}
	}
	return part
}

// languages adds the language packages of a package: of its recording, and of its content if it has one or is the root.
func (w *walk) languages(id pir.PID, p *pir.PIR, at place, root bool) error {
	var recorded list
	if !p.Recording.IsZero() {
		text, err := w.store.Recording(w.ctx, p.Recording)
		switch {
		case errors.Is(err, ErrAbsent):
			w.missing[fmt.Sprintf("the recording of %s is not on this node", p.Name)] = true
		case err != nil:
			return err
		default:
			r, err := ecosystem.Decode(text)
			if err != nil {
				return fmt.Errorf("inventory: the recording of %s: %w", p.Name, err)
			}
			notice := func(string, string) string { return "" }
			if w.notices != nil {
				notice = w.notices(r)
			}
			addRecording(&recorded, r, notice, []pir.PID{id})
		}
	}
	if p.Recording.IsZero() && (!root || p.Kind == pir.Env) {
		return nil
	}
	found, err := scan(w.ctx, w.store.Content(w.ctx, id))
	if errors.Is(err, ErrAbsent) {
		if !p.Recording.IsZero() {
			w.missing[fmt.Sprintf("the content of %s is not on this node, so nothing tells which language packages were installed", p.Name)] = true
		}
	} else if err != nil {
		return err
	}
	for _, part := range found.match(&recorded) {
		part.Tool, part.Of = at.tool || part.Where == Runtime && !runsIn(p), []pir.PID{id}
		w.all.add(part)
	}
	for _, why := range found.skipped() {
		w.missing[p.Name+": "+why] = true
	}
	return nil
}
