package deploy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/service"
)

// format is the version of the record of a generation.
const format = 1

// A Generation is a set of services as it was applied.
type Generation struct {
	Number  int
	Created time.Time // whole seconds
	Set     pir.PID   // of the package of the set
	Text    string    // the file services.nuon of the set
	// Manager is the service manager: a name that Managers has. System says that it is the one of the machine, not of a user.
	Manager string
	System  bool
	// Scan is the folder of links that runit or s6 looks at; "" for other managers.
	Scan string
	// Yes says that the user has agreed to what the packages ask for.
	Yes bool
	// Failed says why the generation was not taken into use as a whole. "" means that all its services were ready.
	Failed string
	// Members are the services, by their names.
	Members map[string]Member

	services []*service.Service
}

// A Member is a service of a generation.
type Member struct {
	// From is the generation that has described the service as it is: its launcher reads that one.
	From  int
	Units []service.Unit
}

// Services returns the services, each after those that it needs.
func (g *Generation) Services() []*service.Service {
	if g == nil {
		return nil
	}
	return g.services
}

// Service returns a service, and nil if the generation does not have it.
func (g *Generation) Service(name string) *service.Service {
	for _, s := range g.Services() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// member returns a member; the zero Member if there is none. The generation may be nil.
func (g *Generation) member(name string) Member {
	if g == nil {
		return Member{}
	}
	return g.Members[name]
}

func (g *Generation) decodeServices() error {
	all, err := service.Decode([]byte(g.Text))
	if err == nil {
		g.services, err = service.Order(all)
	}
	return err
}

// A Making says what a new generation is made of.
type Making struct {
	Set     pir.PID
	Text    string // services.nuon
	Manager string
	System  bool
	Scan    string
	Yes     bool
	// Units renders the units of a service that the generation of that number has described.
	Units func(s *service.Service, from int) ([]service.Unit, error)
}

// New returns the generation that follows old, which may be nil, and does not write it. Services that are as before keep the number of their generation.
func New(old *Generation, number int, m *Making) (*Generation, error) {
	g := &Generation{Number: number, Created: now(), Set: m.Set, Text: m.Text, Manager: m.Manager, System: m.System, Scan: m.Scan, Yes: m.Yes, Members: map[string]Member{}}
	if err := g.decodeServices(); err != nil {
		return nil, err
	}
	for _, s := range g.services {
		from := number
		if before := old.Service(s.Name); before != nil && reflect.DeepEqual(before, s) && old.Yes == g.Yes {
			from = old.Members[s.Name].From
		}
		units, err := m.Units(s, from)
		if err != nil {
			return nil, err
		}
		g.Members[s.Name] = Member{from, units}
	}
	return g, nil
}

// moved reports whether another manager, or the same with another folder, has the services of the other generation.
func (g *Generation) moved(other *Generation) bool {
	return g != nil && other != nil && (g.Manager != other.Manager || g.System != other.System || g.Scan != other.Scan)
}

// Same reports whether two generations have the same services, units and manager: applying one after the other changes nothing.
func (g *Generation) Same(other *Generation) bool {
	return g != nil && other != nil && !g.moved(other) && reflect.DeepEqual(g.Members, other.Members)
}

func (g *Generation) encode() ([]byte, error) {
	members := nuon.Record{}
	for name, m := range g.Members {
		var units nuon.List
		for _, u := range m.Units {
			units = append(units, nuon.Record{"path": u.Path, "mode": int64(u.Mode), "text": u.Text})
		}
		members[name] = nuon.Record{"from": int64(m.From), "units": units}
	}
	rec := nuon.Record{
		"generation": int64(format), "created": g.Created.Unix(), "set": g.Set.String(), "services": g.Text, "manager": g.Manager, "system": g.System, "yes": g.Yes,
		"failed": g.Failed, "members": members,
	}
	if g.Scan != "" {
		rec["scan"] = g.Scan
	}
	b, err := nuon.Encode(rec)
	return append(b, '\n'), err
}

func decodeGeneration(number int, text []byte) (*Generation, error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, err
	}
	rec, _ := v.(nuon.Record)
	if version, _ := rec["generation"].(int64); version != format {
		return nil, fmt.Errorf("want a record of version %d", format)
	}
	g := &Generation{Number: number, Members: map[string]Member{}}
	created, _ := rec["created"].(int64)
	g.Created = time.Unix(created, 0).UTC()
	set, _ := rec["set"].(string)
	if g.Set, err = pir.ParsePID(set); err != nil {
		return nil, err
	}
	g.Text, _ = rec["services"].(string)
	g.Manager, _ = rec["manager"].(string)
	g.System, _ = rec["system"].(bool)
	g.Scan, _ = rec["scan"].(string)
	g.Yes, _ = rec["yes"].(bool)
	g.Failed, _ = rec["failed"].(string)
	if err := g.decodeServices(); err != nil {
		return nil, err
	}
	members, _ := rec["members"].(nuon.Record)
	for _, s := range g.services {
		m, err := decodeMember(members[s.Name])
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", s.Name, err)
		}
		g.Members[s.Name] = m
	}
	return g, nil
}

func decodeMember(v any) (Member, error) {
	rec, _ := v.(nuon.Record)
	from, _ := rec["from"].(int64)
	if from < 1 {
		return Member{}, errors.New("it comes from no generation")
	}
	m := Member{From: int(from)}
	list, _ := rec["units"].(nuon.List)
	for _, v := range list {
		one, _ := v.(nuon.Record)
		path, ok := one["path"].(string)
		mode, _ := one["mode"].(int64)
		text, _ := one["text"].(string)
		if !ok || path == "" {
			return Member{}, errors.New("a unit has no path")
		}
		m.Units = append(m.Units, service.Unit{Path: path, Mode: uint32(mode), Text: text})
	}
	return m, nil
}

// Uses returns the numbers of the generations that a generation's launchers read, with its own.
func (g *Generation) Uses() []int {
	if g == nil {
		return nil
	}
	out := []int{g.Number}
	for _, m := range g.Members {
		out = append(out, m.From)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
