package permission

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/foreign/bus"
)

// A Kind is the sort of thing that a permission is about.
type Kind string

// The kinds, in the order in which they are shown.
const (
	Network Kind = "network"
	Files   Kind = "files"
	Device  Kind = "device"
	Socket  Kind = "socket"
	DBus    Kind = "dbus"
)

// A Permission is one right. Permissions are comparable.
type Permission struct {
	Kind Kind
	// Name is what the right is about: a host with a port, or "" for the whole network; a path; a group of devices; a socket; a name on the session bus.
	Name string
	// Access is how: of files ro, rw or create; of names on the bus see, talk or own; else "".
	Access string
}

// Devices are the groups of devices that can be granted, with the paths of each, as patterns of path.Match.
var Devices = map[string][]string{
	"dri":    {"/dev/dri", "/dev/nvidia*", "/dev/kfd"},
	"kvm":    {"/dev/kvm"},
	"input":  {"/dev/input", "/dev/uinput"},
	"video":  {"/dev/video*", "/dev/media*"},
	"usb":    {"/dev/bus/usb"},
	"serial": {"/dev/ttyUSB*", "/dev/ttyACM*"},
}

// Sockets are the sockets of services outside that can be granted, with what each gives.
var Sockets = map[string]string{
	"wayland":    "open windows, through the Wayland compositor",
	"x11":        "open windows through the X server, which lets it see and steer all other windows there",
	"pulseaudio": "play and record sound",
	"ssh-auth":   "log in to other machines with the keys of the SSH agent",
	"gpg-agent":  "sign and decrypt with the keys of the GnuPG agent",
	"cups":       "print",
}

var accesses = map[Kind][]string{Files: {"ro", "rw", "create"}, DBus: {"see", "talk", "own"}}

// Parse reads a permission as users write it: network, network=HOST:PORT, files=DIR[:ro|rw|create], device=dri, socket=wayland, dbus=NAME[:see|talk|own].
// A path stays as it is written; Resolve makes it absolute.
func Parse(text string) (Permission, error) {
	kind, value, given := strings.Cut(text, "=")
	p := Permission{Kind: Kind(kind), Name: value}
	switch p.Kind {
	case Network:
		if given && value == "" {
			return p, errors.New("network=: want HOST:PORT after it, or network alone for all of it")
		}
	case Files, DBus:
		p.Access = map[Kind]string{Files: "rw", DBus: "talk"}[p.Kind]
		if i := strings.LastIndexByte(value, ':'); i >= 0 {
			p.Name, p.Access = value[:i], value[i+1:]
			if p.Kind == Files && !slices.Contains(accesses[Files], p.Access) {
				p.Name, p.Access = value, "rw" // a colon in a file's name
			}
		}
	case Device, Socket:
	default:
		return p, fmt.Errorf("%.100q is no permission", text)
	}
	return p, p.Check()
}

// Check returns an error unless p is a permission that can be given.
func (p Permission) Check() error {
	if list := accesses[p.Kind]; p.Access != "" && !slices.Contains(list, p.Access) {
		return fmt.Errorf("%s: the access %.40q is not one of %s", p.Kind, p.Access, strings.Join(list, ", "))
	}
	switch p.Kind {
	case Network:
		if p.Name == "" {
			return nil
		}
		return checkHost(p.Name)
	case Files:
		if p.Name == "" || strings.ContainsRune(p.Name, 0) {
			return errors.New("files: want a path")
		}
	case Device:
		if _, ok := Devices[p.Name]; !ok {
			return fmt.Errorf("device: %.100q is not one of %s", p.Name, strings.Join(slices.Sorted(maps.Keys(Devices)), ", "))
		}
	case Socket:
		if _, ok := Sockets[p.Name]; !ok {
			return fmt.Errorf("socket: %.100q is not one of %s", p.Name, strings.Join(slices.Sorted(maps.Keys(Sockets)), ", "))
		}
	case DBus:
		return bus.CheckName(p.Name)
	default:
		return fmt.Errorf("%.100q is no kind of permission", string(p.Kind))
	}
	return nil
}

func checkHost(name string) error {
	host, port, err := net.SplitHostPort(name)
	if err != nil || host == "" {
		return fmt.Errorf("network: %.200q: want HOST:PORT, such as example.com:443, or *.example.com:443", name)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("network: %.200q: %.20q is no port", name, port)
	}
	if strings.ContainsAny(strings.TrimPrefix(host, "*."), "*/\\ \t\n\x00@?#") {
		return fmt.Errorf("network: %.200q: %.200q is no name of a host", name, host)
	}
	return nil
}

// String returns p as Parse reads it.
func (p Permission) String() string {
	s := string(p.Kind)
	if p.Name != "" {
		s += "=" + p.Name
	}
	if p.Access != "" {
		s += ":" + p.Access
	}
	return s
}

// Says returns what p lets a program do, for people. Text from outside is quoted, so that it cannot steer a terminal.
func (p Permission) Says() string {
	name := Quote(p.Name)
	switch p.Kind {
	case Network:
		if p.Name == "" {
			return "reach every machine on the network, this one included, and listen on ports"
		}
		return "connect to " + name
	case Files:
		switch p.Access {
		case "ro":
			return "read " + name
		case "create":
			return "read and write " + name + ", and make it if it is missing"
		}
		return "read and write " + name
	case Device:
		return "use the devices " + strings.Join(Devices[p.Name], ", ")
	case Socket:
		return Sockets[p.Name]
	case DBus:
		return map[string]string{"see": "see whether ", "talk": "talk to ", "own": "be "}[p.Access] + name + map[string]string{"see": " runs"}[p.Access]
	}
	return name
}

// Quote returns s for people: as it is if it is printable and begins with no "-", else quoted.
func Quote(s string) string {
	if q := strconv.Quote(s); strings.HasPrefix(s, "-") || q[1:len(q)-1] != s {
		return q
	}
	return s
}

// Resolve makes the path of a files permission absolute: ~ is home, and a relative path is below here. It returns other permissions as they are.
func (p Permission) Resolve(home, here string) (Permission, error) {
	if p.Kind != Files {
		return p, nil
	}
	at := p.Name
	switch rest, tilde := strings.CutPrefix(at, "~"); {
	case tilde && home != "" && (rest == "" || rest[0] == '/'):
		at = filepath.Join(home, rest)
	case filepath.IsAbs(at):
	case here != "":
		at = filepath.Join(here, at)
	default:
		return p, fmt.Errorf("files: %.200q: want a path that begins with / or ~", p.Name)
	}
	p.Name = filepath.Clean(at)
	return p, nil
}

// Sort sorts permissions and removes what another one includes: of two that differ in the access only, the wider stays, and hosts go if there is the whole
// network.
func Sort(list []Permission) []Permission {
	order := []Kind{Network, Files, Device, Socket, DBus}
	rank := func(p Permission) int { return slices.Index(accesses[p.Kind], p.Access) }
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b Permission) int {
		if c := slices.Index(order, a.Kind) - slices.Index(order, b.Kind); c != 0 {
			return c
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return rank(b) - rank(a)
	})
	list = slices.CompactFunc(list, func(a, b Permission) bool { return a.Kind == b.Kind && a.Name == b.Name })
	if slices.Contains(list, Permission{Kind: Network}) {
		list = slices.DeleteFunc(list, func(p Permission) bool { return p.Kind == Network && p.Name != "" })
	}
	return list
}
