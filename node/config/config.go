package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A Reach is a scope: the nodes that a package or block may go to.
type Reach string

// The scopes, from narrow to wide.
const (
	Off    Reach = "off"    // with no node
	Mesh   Reach = "mesh"   // with the members of each mesh that the node is in
	LAN    Reach = "lan"    // with nodes on private addresses, on request; never announced
	Public Reach = "public" // with all nodes, and announced
	// MeshPrefix is the prefix of the scope of one mesh, "mesh:NAME": with the members of that mesh.
	MeshPrefix = "mesh:"
)

// A ShareRule gives a scope to the packages whose names match a pattern. A rule for "*" also applies to content that is in no package, which then
// goes no farther than the LAN.
// A package that no rule matches goes to meshes only. If it came out of the public swarm, it also goes to the LAN, because another node has
// already shared it with strangers.
type ShareRule struct {
	Names string // a pattern of path.Match
	With  Reach
}

// A Config is the configuration of a node, which users write as NUON in the file config.nuon of its home. Every field is optional.
// settings.go lists the fields of the file, and docs/config.md is made from that list.
type Config struct {
	Listen       []string
	Listens      bool // the file has addresses to listen at: the node is in the swarm from the start
	Bootstrap    []string
	MDNS         bool
	Share        []ShareRule
	Relay        bool
	Apart        bool
	Partial      bool // whether builds that others described run where a wall is missing
	Up, Down     int64
	Connections  int
	Jobs         int // how many programs of builds run at once; 0 means one for each processor
	Metrics      string
	Control      string
	Mount        string // one of MountAuto, MountFUSE, MountCheckout, MountOff
	MountRealize bool   // a look-up in the mount makes a package that the store does not have
	GC           *GC    // nil: the node collects only when its user asks
	Scrub        Scrub
	Watch        time.Duration // between two looks at the feeds of advisories; 0 is never
	Store        Store
	Ecosystem    Ecosystem
}

// An Ecosystem says how the registries of language package managers are recorded.
type Ecosystem struct {
	// Cooldown is the age that a version must have before a recording takes it, by ecosystem. DefaultCooldown is that of ecosystems without an entry; 0 takes all.
	Cooldown map[string]time.Duration
	// Exempt are the packages whose young versions are taken, by ecosystem.
	Exempt map[string][]string
	// Record makes nuka exec record with the runtime of a language.
	Record bool
}

// DefaultCooldown is the age that a version must have before a recording takes it. Malicious releases are mostly found within days.
const DefaultCooldown = 7 * 24 * time.Hour

// CooldownOf returns the age that a version of an ecosystem must have.
func (e *Ecosystem) CooldownOf(name string) time.Duration {
	if d, ok := e.Cooldown[name]; ok {
		return d
	}
	return DefaultCooldown
}

// A GC says when the node collects by itself: when less than MinFree bytes are free on the disk of the store, until MaxFree are. It keeps
// what was used within Keep.
type GC struct {
	MinFree, MaxFree int64
	Keep             time.Duration
}

// A Scrub says how the node compares the files of the store with their hashes in the background: so many bytes in a second, and a new pass so
// long after the end of the last one. With Rate 0 it does not.
type Scrub struct {
	Rate     int64
	Interval time.Duration
}

// A Store bounds what the store takes in; 0 is no bound.
type Store struct {
	Quota   int64 // the most bytes of files
	Reserve int64 // how much space of the disk new content leaves free
}

// How packages are shown as folders.
const (
	MountAuto     = "auto"     // as a mount where the system can, else as checkouts
	MountFUSE     = "fuse"     // as a mount
	MountCheckout = "checkout" // as real folders, made on request
	MountOff      = "off"      // not at all
)

// defaults returns the configuration of an empty file.
func defaults() *Config {
	return &Config{
		Listen: []string{"/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"},
		MDNS:   true, Relay: true, Connections: 200, Mount: MountAuto, Watch: 24 * time.Hour, Scrub: Scrub{Rate: 4 << 20, Interval: 30 * 24 * time.Hour},
	}
}

// Reach returns the scope of a package with a name. The first rule that matches the name decides; without one the scope is Mesh.
func (c *Config) Reach(name string) Reach {
	reach, _ := c.Rule(name)
	return reach
}

// Rule is Reach, and also reports whether a rule matches the name.
func (c *Config) Rule(name string) (reach Reach, ruled bool) {
	for _, r := range c.Share {
		if ok, _ := path.Match(r.Names, name); ok {
			return r.With, true
		}
	}
	return Mesh, false
}

// UnknownReach returns the scope of a package whose name is not known: no wider than any rule that could match it allows.
func (c *Config) UnknownReach() Reach {
	var reach Reach
	for _, r := range c.Share {
		reach = narrower(reach, r.With)
		if strings.Trim(r.Names, "*") == "" {
			return reach
		}
	}
	return narrower(reach, Mesh)
}

// narrower returns the narrower of two scopes; "" means no bound. The scopes of two different meshes have no node in common, so the result is Off.
func narrower(a, b Reach) Reach {
	order := func(r Reach) int { return slices.Index([]Reach{Off, "", Mesh, LAN, Public}, r) }
	mesh := func(r Reach) bool { return strings.HasPrefix(string(r), MeshPrefix) }
	switch {
	case a == "" || a == b:
		return b
	case a == Off || b == Off || mesh(a) && mesh(b):
		return Off
	case mesh(a):
		return a
	case mesh(b) || order(b) < order(a):
		return b
	}
	return a
}

// A File keeps the configuration of a home.
type File struct {
	path string
	mu   sync.Mutex
	c    *Config
}

// Open reads the configuration. If there is no file, it is the default.
func Open(path string) (*File, error) {
	f := &File{path: path, c: defaults()}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.c, err = parse(b)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %w", path, err).WithHint("put it right, or remove it to have the defaults")
	}
	return f, nil
}

// Get returns the present configuration. It never changes: SetBootstrap replaces it as a whole.
func (f *File) Get() *Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.c
}

// SetBootstrap replaces the bootstrap peers, in the file too. Comments in the file are lost.
func (f *File) SetBootstrap(addresses []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	rec := nuon.Record{}
	b, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		v, err := nuon.Parse(b)
		if err != nil {
			return err
		}
		rec, _ = v.(nuon.Record)
	}
	list := nuon.List{}
	for _, a := range addresses {
		list = append(list, a)
	}
	rec["bootstrap"] = list
	if b, err = nuon.Encode(rec); err != nil {
		return err
	}
	c, err := parse(b)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.path, append(b, '\n')); err != nil {
		return err
	}
	f.c = c
	return nil
}
