package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A Reach says with whom something is shared.
type Reach string

// The reaches, from narrow to wide.
const (
	Off    Reach = "off"    // with nobody
	Mesh   Reach = "mesh"   // with the members of each mesh that the node is in
	LAN    Reach = "lan"    // with nodes on private addresses, when they ask; never announced
	Public Reach = "public" // with everybody, and announced
	// MeshPrefix begins the reach of what is shared with the members of one mesh, "mesh:NAME".
	MeshPrefix = "mesh:"
)

// A ShareRule says how far packages of some names are shared. One for "*" is also about content that is in no package,
// and makes that go no farther than the LAN.
// What no rule is about goes to meshes only, and to the LAN if it came out of the public swarm: strangers get what was shared with strangers.
type ShareRule struct {
	Names string // a pattern as path.Match has it
	With  Reach
}

// A Config is the configuration of a node, NUON as people write it in the file config.nuon of its home. All fields may be left out.
// settings.go has what the file may say, and docs/config.md is made from that.
type Config struct {
	Listen      []string
	Listens     bool // the file says where to listen: the node is in the swarm from the beginning
	Bootstrap   []string
	MDNS        bool
	Share       []ShareRule
	Relay       bool
	Apart       bool
	Partial     bool // whether builds of others' run where a wall is missing
	Up, Down    int64
	Connections int
	Jobs        int // how many programs of builds run at once; 0 is one for each processor
	Metrics     string
	Control     string
}

// defaults returns the configuration of an empty file.
func defaults() *Config {
	return &Config{
		Listen: []string{"/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"},
		MDNS:   true, Relay: true, Connections: 200,
	}
}

// Reach says how far a package of a name is shared. The first rule that is about it decides; without one it is Mesh.
func (c *Config) Reach(name string) Reach {
	reach, _ := c.Rule(name)
	return reach
}

// Rule is Reach, and says whether a rule is about the name.
func (c *Config) Rule(name string) (reach Reach, ruled bool) {
	for _, r := range c.Share {
		if ok, _ := path.Match(r.Names, name); ok {
			return r.With, true
		}
	}
	return Mesh, false
}

// UnknownReach says how far a package goes whose name is not known: no farther than every rule that could be about it allows.
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

// narrower returns the narrower of two reaches; "" is no bound. Those of two meshes have nobody in common.
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

// Open reads the configuration; without a file it is the default.
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

// Get returns the configuration; it is not changed.
func (f *File) Get() *Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.c
}

// SetBootstrap replaces the bootstrap peers, in the file too; comments in it are lost.
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
