package bus

import (
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

// An Access is what a program may do with a name on the bus. Each includes those before it.
type Access int

const (
	None Access = iota // the name does not exist for the program
	See                // it learns whether the name has an owner, and who that is
	Talk               // it calls the owner, starts it, and gets its signals
	Own                // it owns the name itself
)

var accesses = []string{"none", "see", "talk", "own"}

// String returns the word of a permission: none, see, talk or own.
func (a Access) String() string { return accesses[a] }

// A Rule allows some messages where a name is not granted wholly. An empty field allows everything.
type Rule struct {
	Name      string // as in Policy.Names
	Interface string // "org.example.Files", or "org.example.*" with all below it
	Member    string
	Path      string // "/org/example", or "/org/example/*" with all below it
}

// A Policy says what a program may do on the session bus. Its zero value allows only the calls to the bus that concern the program itself.
type Policy struct {
	// Names grants names. "org.example.*" is org.example and each name below it. If several match, the widest access counts.
	Names map[string]Access
	// Calls are calls that the program may make although it has no Talk. The names become visible.
	Calls []Rule
	// Broadcasts are signals to everybody that reach the program although it has no Talk. The names become visible.
	Broadcasts []Rule
}

// never are names whose owners run programs or grant permissions for any caller: a program that reaches one has left its sandbox.
var never = []string{
	"org.freedesktop.DBus.*",
	"org.freedesktop.systemd1.*",
	"org.freedesktop.Flatpak.*",
	"org.freedesktop.portal.Flatpak.*",
	"org.freedesktop.impl.portal.*",
}

// portals is the name of all portals: their owners ask the user before they do something for a program.
const portals = "org.freedesktop.portal.*"

// AddPortals allows the calls to portals, and their signals.
func (p *Policy) AddPortals() {
	for _, iface := range []string{portals, "org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer"} {
		p.Calls = append(p.Calls, Rule{Name: portals, Interface: iface})
	}
	for _, member := range []string{"Get", "GetAll"} {
		p.Calls = append(p.Calls, Rule{Name: portals, Interface: "org.freedesktop.DBus.Properties", Member: member})
	}
	p.Broadcasts = append(p.Broadcasts, Rule{Name: portals, Path: "/org/freedesktop/portal/*"})
}

// AddApplication lets the program own the names of its application: the application's id, names below it, and the name of its media player.
func (p *Policy) AddApplication(id string) {
	if p.Names == nil {
		p.Names = map[string]Access{}
	}
	p.Names[id+".*"] = Own
	p.Names["org.mpris.MediaPlayer2."+id+".*"] = Own
}

// ParsePermission parses the text of a permission, NAME:ACCESS, as in dbus=org.example.Name:talk. The error's code is Invalid, or Denied for a name
// that no program may reach.
func ParsePermission(s string) (name string, a Access, err error) {
	name, word, ok := strings.Cut(s, ":")
	if i := slices.Index(accesses, word); ok && i >= 0 {
		return name, Access(i), CheckName(name)
	}
	return "", None, protocol.Errorf(protocol.Invalid, "%q is no permission for a name on the bus", s).
		WithHint("write NAME:see, NAME:talk or NAME:own, as in org.example.Name:talk; org.example.* is all names below org.example")
}

// CheckName returns an error with the code Invalid or Denied unless a name or pattern can be granted.
func CheckName(name string) error {
	plain := strings.TrimSuffix(name, ".*")
	elements := strings.Split(plain, ".")
	ok := len(elements) >= 2 && len(plain) <= maxName && onlyOf(plain, "-.")
	for _, e := range elements {
		ok = ok && e != "" && !strings.ContainsRune("0123456789", rune(e[0]))
	}
	if !ok {
		return protocol.Errorf(protocol.Invalid, "%q is no name on the bus", name).
			WithHint("a name has at least two elements with letters, digits, _ and -, as org.example.Name; a pattern is org.example.*")
	}
	if denied(plain) {
		return protocol.Errorf(protocol.Denied, "the name %q is never granted: its owner runs programs outside of the sandbox", name).
			WithHint("use a portal instead, as org.freedesktop.portal.OpenURI, which every program may call")
	}
	return nil
}

// Check returns an error with the code Invalid or Denied if a name of the policy is malformed or never granted.
// A pattern that covers a name that is never granted is no error, and does not grant that name.
func (p *Policy) Check() error {
	for _, name := range slices.Sorted(maps.Keys(p.Names)) {
		if err := CheckName(name); err != nil {
			return err
		}
	}
	for _, r := range slices.Concat(p.Calls, p.Broadcasts) {
		if err := CheckName(r.Name); err != nil {
			return err
		}
	}
	return nil
}

// matches returns whether a name is the pattern's, where the end "x*" of a pattern covers what is below it, x being the separator.
func matches(pattern, name string) bool {
	if plain, ok := strings.CutSuffix(pattern, "*"); ok && plain != "" {
		return strings.HasPrefix(name, plain) || name == plain[:len(plain)-1]
	}
	return pattern == name
}

func denied(name string) bool {
	return slices.ContainsFunc(never, func(pattern string) bool { return matches(pattern, name) })
}

// access returns what the program may do with a name that is no unique name.
func (p *Policy) access(name string) Access {
	best := None
	if denied(name) {
		return None
	}
	for pattern, a := range p.Names {
		if a > best && matches(pattern, name) {
			best = a
		}
	}
	of := func(r Rule) bool { return matches(r.Name, name) }
	if best == None && (slices.ContainsFunc(p.Calls, of) || slices.ContainsFunc(p.Broadcasts, of)) {
		best = See
	}
	return best
}

// mayCall returns whether the program may send a call or a signal to a name.
func (p *Policy) mayCall(name string, m *message) bool {
	return p.access(name) >= Talk || !denied(name) && allows(p.Calls, name, m)
}

// mayStart returns whether the program may start the owner of a name: each call that it may make does so, too.
func (p *Policy) mayStart(name string) bool {
	return p.access(name) >= Talk || !denied(name) && slices.ContainsFunc(p.Calls, func(r Rule) bool { return matches(r.Name, name) })
}

// mayHear returns whether a signal to everybody from the owner of a name reaches the program.
func (p *Policy) mayHear(name string, m *message) bool {
	return p.access(name) >= Talk || !denied(name) && allows(p.Broadcasts, name, m)
}

// allows returns whether one of the rules for a name allows a message. A call without an interface is allowed only where each interface is.
func allows(rules []Rule, name string, m *message) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool {
		return matches(r.Name, name) && (r.Interface == "" || matches(r.Interface, m.iface)) && (r.Member == "" || r.Member == m.member) &&
			(r.Path == "" || matches(r.Path, m.path))
	})
}
