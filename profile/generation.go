package profile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// format is the version of generation.nuon.
const format = 1

// EnvName is the name of the environment of every generation, so that equal generations of two profiles have one PID.
const EnvName = "profile"

// A Generation is one state of a profile.
type Generation struct {
	Number   int
	Created  time.Time // whole seconds
	Command  string    // the command that made it, for people
	Packages map[string]Package
}

// A Package is an installed package.
type Package struct {
	Asked    string    // the name in a package set, or the absolute path of a package file
	Args     []string  // flags of the package, as typed
	Set      string    // folder of the package set; "" is the set in nuka
	PID      pir.PID   //
	Version  string    //
	Pinned   bool      // upgrade leaves it as it is
	Merge    pir.Merge // how its files enter the environment
	Commands []string  // its programs in bin
}

// Env returns the environment of the generation, and nil without packages.
func (g *Generation) Env() *pir.PIR {
	if len(g.Packages) == 0 {
		return nil
	}
	p := &pir.PIR{Kind: pir.Env, Name: EnvName, Packages: map[string]pir.PID{}}
	for name, pkg := range g.Packages {
		p.Packages[name] = pkg.PID
		if !pkg.Merge.IsZero() {
			if p.Merge == nil {
				p.Merge = map[string]pir.Merge{}
			}
			p.Merge[name] = pkg.Merge
		}
	}
	return p
}

// EnvPID returns the PID of the environment, and the zero PID without packages.
func (g *Generation) EnvPID() (pir.PID, error) {
	env := g.Env()
	if env == nil {
		return pir.PID{}, nil
	}
	b, err := env.Encode()
	if err != nil {
		return pir.PID{}, err
	}
	return pir.Sum(b), nil
}

// Names returns the names of the packages, sorted.
func (g *Generation) Names() []string { return slices.Sorted(maps.Keys(g.Packages)) }

// A Change is the difference of one package between two generations.
type Change struct {
	Name     string
	Old, New *Package // nil: not installed
}

// Diff returns the packages that differ between two generations, sorted by name. A nil generation has no packages.
func Diff(from, to *Generation) []Change {
	all := map[string]Change{}
	if from != nil {
		for name, p := range from.Packages {
			all[name] = Change{Name: name, Old: &p}
		}
	}
	if to != nil {
		for name, p := range to.Packages {
			all[name] = Change{Name: name, Old: all[name].Old, New: &p}
		}
	}
	var out []Change
	for _, c := range all {
		if c.Old == nil || c.New == nil || !c.Old.equal(c.New) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (p *Package) equal(q *Package) bool {
	return p.PID == q.PID && p.Pinned == q.Pinned && p.Merge.Priority == q.Merge.Priority &&
		slices.Equal(p.Merge.Leave, q.Merge.Leave) && maps.Equal(p.Merge.Rename, q.Merge.Rename)
}

// encode returns the text of generation.nuon.
func (g *Generation) encode() ([]byte, error) {
	env, err := g.EnvPID()
	if err != nil {
		return nil, err
	}
	packages := nuon.Record{}
	for name, p := range g.Packages {
		rec := nuon.Record{"package": p.Asked, "pid": p.PID.String(), "version": p.Version}
		if p.Pinned {
			rec["pinned"] = true
		}
		if p.Set != "" {
			rec["set"] = p.Set
		}
		if !p.Merge.IsZero() {
			rec["merge"] = pir.MergeRecord(p.Merge)
		}
		if len(p.Args) > 0 {
			rec["args"] = p.Args
		}
		if len(p.Commands) > 0 {
			rec["commands"] = p.Commands
		}
		packages[name] = rec
	}
	rec := nuon.Record{"profile": int64(format), "created": g.Created.Unix(), "command": g.Command, "packages": packages}
	if !env.IsZero() {
		rec["env"] = env.String()
	}
	b, err := nuon.Encode(rec)
	return append(b, '\n'), err
}

// decode reads the text of generation.nuon. It accepts only what encode writes.
func decode(number int, text []byte) (*Generation, error) {
	body, ok := cutNewline(text)
	if !ok {
		return nil, fmt.Errorf("it does not end with a line feed")
	}
	rec, err := nuon.DecodeRecord(body)
	if err != nil {
		return nil, err
	}
	if rec["profile"] != int64(format) {
		return nil, protocol.Errorf(protocol.Unsupported, "its form is %v, this program knows %d", rec["profile"], format)
	}
	r := reader{}
	g := &Generation{Number: number, Packages: map[string]Package{}, Command: r.text(rec, "command")}
	created, _ := rec["created"].(int64)
	g.Created = time.Unix(created, 0).UTC()
	for name, v := range r.rec(rec, "packages") {
		one, ok := v.(nuon.Record)
		if !ok {
			return nil, fmt.Errorf("packages: %q is no record", name)
		}
		p := Package{Asked: r.text(one, "package"), Set: r.text(one, "set"), Version: r.text(one, "version")}
		p.Args, p.Commands = r.list(one, "args"), r.list(one, "commands")
		p.Pinned, _ = one["pinned"].(bool)
		if p.PID, err = pir.ParsePID(r.text(one, "pid")); err != nil {
			return nil, fmt.Errorf("packages: %s: %w", name, err)
		}
		if p.Merge, err = pir.ParseMerge(r.rec(one, "merge")); err != nil {
			return nil, fmt.Errorf("packages: %s: %w", name, err)
		}
		g.Packages[name] = p
	}
	if r.err != nil {
		return nil, r.err
	}
	again, err := g.encode()
	if err != nil {
		return nil, err
	}
	if string(again) != string(text) {
		return nil, fmt.Errorf("a field is unknown or wrong, or the PID of the environment is not that of the packages")
	}
	return g, nil
}

func cutNewline(b []byte) ([]byte, bool) {
	if len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, false
	}
	return b[:len(b)-1], true
}

// reader reads fields of records and keeps the first error.
type reader struct{ err error }

func field[T any](r *reader, rec nuon.Record, name, want string) T {
	v, there := rec[name]
	out, ok := v.(T)
	if there && !ok && r.err == nil {
		r.err = fmt.Errorf("field %q: want %s", name, want)
	}
	return out
}

func (r *reader) text(rec nuon.Record, name string) string {
	return field[string](r, rec, name, "a string")
}

func (r *reader) rec(rec nuon.Record, name string) nuon.Record {
	return field[nuon.Record](r, rec, name, "a record")
}

func (r *reader) list(rec nuon.Record, name string) (out []string) {
	for _, v := range field[nuon.List](r, rec, name, "a list") {
		text, ok := v.(string)
		if !ok && r.err == nil {
			r.err = fmt.Errorf("field %q: want strings", name)
		}
		out = append(out, text)
	}
	return out
}
