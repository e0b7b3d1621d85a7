package node

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
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
	LAN    Reach = "lan"    // with nodes on private addresses, when they ask; never announced
	Public Reach = "public" // with everybody, and announced
	// meshReach begins the reach of what is shared with the members of one mesh, "mesh:NAME".
	meshReach = "mesh:"
)

// A ShareRule says how far packages of some names are shared. One for "*" is also about content that is in no package,
// and makes that go no farther than the LAN.
type ShareRule struct {
	Names string // a pattern as path.Match has it
	With  Reach
}

// A Config is the configuration of a node, NUON as people write it in the file config.nuon of its home. All fields may be left out:
//
//	{
//	  listen: ["/ip4/0.0.0.0/udp/4717/quic-v1", "/ip4/0.0.0.0/tcp/4717"]  # and be in the swarm from the beginning
//	  bootstrap: ["/ip4/192.0.2.1/tcp/4717/p2p/12D3…"]  # nodes to begin with
//	  mdns: true                                        # find nodes on the local network
//	  share: [{names: "work-*", with: "mesh:team"}, {names: "*", with: lan}]  # off, lan, public or mesh:NAME
//	  relay: true      # be reached through others, and let others be reached, where there is no direct way
//	  up: 0b, down: 0b # bytes a second, 0b is no bound
//	  connections: 200
//	  metrics: "127.0.0.1:9464"                         # Prometheus reads it there
//	  apart: true      # each swarm in a process of its own, which neither the store nor the key of the node is open to
//	  confine: partial # build what others described even where a wall around workers is missing; without it: full
//	  control: "0.0.0.0:4718"  # where light peers of other machines attach by a ticket
//	}
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
	Metrics     string
	Control     string
}

// defaultConfig is what counts where the file says nothing.
func defaultConfig() *Config {
	return &Config{
		Listen: []string{"/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/0", "/ip6/::/udp/0/quic-v1", "/ip6/::/tcp/0"},
		MDNS:   true, Relay: true, Connections: 200,
	}
}

// Reach says how far a package of a name is shared. The first rule that is about it decides; without one it is LAN.
func (c *Config) Reach(name string) Reach {
	for _, r := range c.Share {
		if ok, _ := path.Match(r.Names, name); ok {
			return r.With
		}
	}
	return LAN
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
	return narrower(reach, LAN)
}

// narrower returns the narrower of two reaches; "" is no bound. Those of two meshes have nobody in common.
func narrower(a, b Reach) Reach {
	order := func(r Reach) int { return slices.Index([]Reach{Off, "", LAN, Public}, r) }
	mesh := func(r Reach) bool { return strings.HasPrefix(string(r), meshReach) }
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

// parseConfig reads a configuration.
func parseConfig(text []byte) (*Config, error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, err
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return nil, errors.New("1:1: want a record: { … }")
	}
	c := defaultConfig()
	known := map[string]func(any) bool{
		"listen":      func(v any) bool { c.Listens = true; return texts(v, &c.Listen) },
		"bootstrap":   func(v any) bool { return texts(v, &c.Bootstrap) },
		"mdns":        func(v any) bool { return set(v, &c.MDNS) },
		"apart":       func(v any) bool { return set(v, &c.Apart) },
		"confine":     func(v any) bool { c.Partial = v == "partial"; return c.Partial || v == "full" },
		"relay":       func(v any) bool { return set(v, &c.Relay) },
		"metrics":     func(v any) bool { return address(v, &c.Metrics) },
		"control":     func(v any) bool { return address(v, &c.Control) },
		"up":          func(v any) bool { return bytesSet(v, &c.Up) },
		"down":        func(v any) bool { return bytesSet(v, &c.Down) },
		"connections": func(v any) bool { n, ok := v.(int64); c.Connections = int(n); return ok && n > 0 && n < 1e6 },
		"share":       func(v any) bool { return shares(v, &c.Share) },
	}
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		read, ok := known[name]
		if !ok {
			return nil, fmt.Errorf("there is no %s: the settings are %v", name, slices.Sorted(maps.Keys(known)))
		}
		if !read(rec[name]) {
			return nil, fmt.Errorf("%s: %v is not what belongs there", name, rec[name])
		}
	}
	return c, nil
}

func set[T any](v any, to *T) bool {
	t, ok := v.(T)
	if ok {
		*to = t
	}
	return ok
}

// address reads host:port.
func address(v any, to *string) bool {
	if !set(v, to) {
		return false
	}
	_, port, err := net.SplitHostPort(*to)
	return err == nil && port != "" && port != "0"
}

func bytesSet(v any, to *int64) bool {
	size, ok := v.(nuon.Filesize)
	if ok {
		*to = int64(size)
	}
	return ok && size >= 0
}

func texts(v any, to *[]string) bool {
	list, ok := v.(nuon.List)
	*to = []string{}
	for _, item := range list {
		text, isText := item.(string)
		ok = ok && isText
		*to = append(*to, text)
	}
	return ok
}

func shares(v any, to *[]ShareRule) bool {
	list, ok := v.(nuon.List)
	for _, item := range list {
		rec, _ := item.(nuon.Record)
		names, _ := rec["names"].(string)
		with, _ := rec["with"].(string)
		if _, err := path.Match(names, ""); err != nil || names == "" || len(rec) != 2 {
			return false
		}
		if !slices.Contains([]Reach{Off, LAN, Public}, Reach(with)) && (!strings.HasPrefix(with, meshReach) || with == meshReach) {
			return false
		}
		*to = append(*to, ShareRule{names, Reach(with)})
	}
	return ok
}

// A configFile keeps the configuration of a home.
type configFile struct {
	path string
	mu   sync.Mutex
	c    *Config
}

// openConfig reads the configuration; without a file it is the default.
func openConfig(path string) (*configFile, error) {
	f := &configFile{path: path, c: defaultConfig()}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.c, err = parseConfig(b)
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "%s: %v", path, err).WithHint("put it right, or remove it to have the defaults")
	}
	return f, nil
}

// Get returns the configuration; it is not changed.
func (f *configFile) Get() *Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.c
}

// setBootstrap replaces the nodes to begin with, in the file too; comments in it are lost.
func (f *configFile) setBootstrap(addresses []string) error {
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
	c, err := parseConfig(b)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(f.path, append(b, '\n')); err != nil {
		return err
	}
	f.c = c
	return nil
}
