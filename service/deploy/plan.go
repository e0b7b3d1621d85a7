package deploy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/service"
)

// An Action is what a change does with a service.
type Action string

// The actions.
const (
	Start   Action = "start"
	Stop    Action = "stop"
	Restart Action = "restart"
	Reload  Action = "reload" // the manager reads its unit again; the program keeps running
)

// A Step is what a change does with one service, and why.
type Step struct {
	Service string   `json:"service"`
	Action  Action   `json:"action"`
	Why     []string `json:"why"`
}

// A Plan is what a change does, in this order.
type Plan struct {
	From  int    `json:"from"` // the current generation; 0: none
	To    int    `json:"to"`   // 0: nothing is applied any more
	Steps []Step `json:"steps"`
}

// View is the part of the machine that a plan depends on.
type View struct {
	Running map[string]Running // by the names of services
	Stopped []string           // by the user
}

// See returns what the launchers of the services of some generations tell, and what the user has stopped.
func (d *Dir) See(of ...*Generation) (*View, error) {
	v := &View{Running: map[string]Running{}}
	for _, g := range of {
		for _, s := range g.Services() {
			if _, done := v.Running[s.Name]; done {
				continue
			}
			r, err := d.Running(s.Name)
			if err != nil {
				return nil, err
			}
			v.Running[s.Name] = r
		}
	}
	var err error
	v.Stopped, err = d.Stopped()
	return v, err
}

// wants reports whether a service of a generation shall run.
func (v *View) wants(g *Generation, name string) bool {
	return g.Service(name) != nil && !slices.Contains(v.Stopped, name)
}

// NewPlan returns the difference between two generations, either of which may be nil: what is stopped first, and then the rest in the order of the services.
func NewPlan(from, to *Generation, v *View) *Plan {
	p := &Plan{Steps: []Step{}}
	if from != nil {
		p.From = from.Number
	}
	if to != nil {
		p.To = to.Number
	}
	moved := from.moved(to)
	for _, s := range slices.Backward(from.Services()) {
		switch {
		case v.wants(to, s.Name):
		case to.Service(s.Name) != nil && v.Running[s.Name].Alive:
			p.add(s.Name, Stop, "it was stopped by nuka services stop")
		case to.Service(s.Name) == nil && to == nil:
			p.add(s.Name, Stop, "it is removed")
		case to.Service(s.Name) == nil:
			p.add(s.Name, Stop, "it is not in the set any more")
		}
	}
	for _, s := range to.Services() {
		if !v.wants(to, s.Name) {
			continue
		}
		before, after, r := from.member(s.Name), to.member(s.Name), v.Running[s.Name]
		runs := r.Alive && r.Generation == after.From
		old := from.Service(s.Name)
		switch {
		case old == nil && !runs:
			p.add(s.Name, Start, "it is new")
		case moved:
			p.add(s.Name, Restart, fmt.Sprintf("manager: %s → %s", describeManager(from), describeManager(to)))
		case (runs || idle(from, to, s)) && !reflect.DeepEqual(before.Units, after.Units):
			p.add(s.Name, Reload, "its unit is written in another way")
		case runs || idle(from, to, s):
		case before.From != after.From:
			why := Diff(from.record(s.Name), to.record(s.Name))
			if from.Yes != to.Yes {
				why = append(why, fmt.Sprintf("--yes: %v → %v", from.Yes, to.Yes))
			}
			p.add(s.Name, startOr(r), why...)
		case r.Alive:
			p.add(s.Name, Restart, fmt.Sprintf("generation %d of it runs", r.Generation))
		default:
			p.add(s.Name, Start, "it does not run")
		}
	}
	return p
}

// OlderState names the services whose state would be given to programs for an older form of it, with both versions: a line for each.
func OlderState(from, to *Generation) (out []string) {
	for _, s := range to.Services() {
		if old := from.Service(s.Name); old != nil && old.StateVersion > s.StateVersion {
			out = append(out, fmt.Sprintf("the state of %s has version %d, and generation %d is for version %d", s.Name, old.StateVersion, to.Number, s.StateVersion))
		}
	}
	return out
}

// idle reports whether a service is a job that two generations have alike, and whose times the manager keeps: between its runs it has no launcher.
func idle(from, to *Generation, s *service.Service) bool {
	return !s.Every.IsZero() && service.KeepsTimes(to.Manager) && from.Service(s.Name) != nil && from.member(s.Name).From == to.member(s.Name).From
}

func startOr(r Running) Action {
	if r.Alive {
		return Restart
	}
	return Start
}

func describeManager(g *Generation) string {
	text := g.Manager
	if g.System {
		text += " of the machine"
	}
	if g.Scan != "" {
		text += " at " + g.Scan
	}
	return text
}

func (p *Plan) add(name string, do Action, why ...string) {
	p.Steps = append(p.Steps, Step{name, do, why})
}

// record returns a service as it is written in the set.
func (g *Generation) record(name string) nuon.Record {
	v, err := nuon.Parse([]byte(g.Text))
	if err != nil {
		return nil
	}
	set, _ := v.(nuon.Record)
	rec, _ := set[name].(nuon.Record)
	return rec
}

// Diff returns the differences between two records of a service, a line for each field: its path, the old value and the new one.
func Diff(from, to nuon.Record) []string {
	var out []string
	diff("", from, to, &out)
	return out
}

func diff(at string, from, to any, out *[]string) {
	a, isA := from.(nuon.Record)
	b, isB := to.(nuon.Record)
	if isA && (isB || to == nil) || isB && from == nil {
		if text, ok := packageChange(at, a, b); ok {
			*out = append(*out, text)
			return
		}
		keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(keys)
		for _, k := range slices.Compact(keys) {
			diff(strings.TrimPrefix(at+"."+k, "."), a[k], b[k], out)
		}
		return
	}
	as, isA := from.(nuon.List)
	bs, isB := to.(nuon.List)
	if isA && isB {
		diffLists(at, as, bs, out)
		return
	}
	if !reflect.DeepEqual(from, to) {
		*out = append(*out, fmt.Sprintf("%s: %s → %s", at, short(from), short(to)))
	}
}

// diffLists compares items of the same number, and shows what one list has in the place of another part of the other.
func diffLists(at string, a, b nuon.List, out *[]string) {
	if len(a) == len(b) {
		for i := range a {
			diff(at+"."+strconv.Itoa(i), a[i], b[i], out)
		}
		return
	}
	i := 0
	for ; i < min(len(a), len(b)); i++ {
		_, isA := a[i].(nuon.Record)
		_, isB := b[i].(nuon.Record)
		if isA && isB {
			diff(at+"."+strconv.Itoa(i), a[i], b[i], out)
		} else if !reflect.DeepEqual(a[i], b[i]) {
			break
		}
	}
	end := 0
	for end < min(len(a), len(b))-i && reflect.DeepEqual(a[len(a)-1-end], b[len(b)-1-end]) {
		end++
	}
	*out = append(*out, fmt.Sprintf("%s, from item %d: %s → %s", at, i, short(a[i:len(a)-end]), short(b[i:len(b)-end])))
}

// packageChange describes the change of a package.
func packageChange(at string, from, to nuon.Record) (string, bool) {
	a, ok1 := from["pid"].(string)
	b, ok2 := to["pid"].(string)
	if !ok1 || !ok2 || len(a) < 8 || len(b) < 8 || a == b {
		return "", false
	}
	name := func(r nuon.Record, pid string) string {
		text := ""
		for _, key := range []string{"name", "version"} {
			if v, ok := r[key].(string); ok {
				text += v + " "
			}
		}
		return text + pid[:8]
	}
	return fmt.Sprintf("%s: %s → %s", at, name(from, a), name(to, b)), true
}

// short writes a value in at most 60 characters.
func short(v any) string {
	if list, ok := v.(nuon.List); v == nil || ok && len(list) == 0 {
		return "nothing"
	}
	b, err := nuon.Encode(v)
	if err != nil {
		return "?"
	}
	if r := []rune(string(b)); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return string(b)
}

// Changes describes in a few lines what a generation changes since another one, which may be nil.
func Changes(from, to *Generation) []string {
	var out []string
	for _, s := range from.Services() {
		if to.Service(s.Name) == nil {
			out = append(out, "- "+s.Name)
		}
	}
	for _, s := range to.Services() {
		switch {
		case from.Service(s.Name) == nil:
			out = append(out, "+ "+s.Name)
		case from.member(s.Name).From != to.member(s.Name).From:
			out = append(out, "~ "+s.Name+": "+strings.Join(Diff(from.record(s.Name), to.record(s.Name)), "; "))
		}
	}
	return out
}
