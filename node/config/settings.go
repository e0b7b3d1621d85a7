package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/pir/nuon"
)

// A setting is one field of config.nuon: what people read about it, and how it is read.
type setting struct {
	name    string
	doc     string // what it does, and what counts without it
	want    string // what belongs there
	example string // NUON of the whole file
	read    func(v any, c *Config) bool
}

// settings are all there are, in the order in which people read about them.
var settings = []setting{
	{
		"listen", "Where the node can be reached; with it the node is in the swarm from the beginning, not only when there is a reason. " +
			"By default the system chooses the ports. Meshes take other ports of the same addresses.",
		"a list of multiaddrs, of an address of this machine and a port for tcp or quic-v1",
		`{listen: ["/ip4/0.0.0.0/udp/4717/quic-v1", "/ip4/0.0.0.0/tcp/4717"]}`,
		func(v any, c *Config) bool { c.Listens = true; return multiaddrs(v, &c.Listen) },
	},
	{
		"bootstrap", "Nodes to begin with, where none is found on the local network. `nuka swarm bootstrap` writes it.",
		"a list of tickets, or of multiaddrs with the peer id of the node", `{bootstrap: ["/ip4/192.0.2.1/tcp/4717/p2p/12D3KooWJ5Z5rkWBzHs2ycUtnMKTPuWAsPQBsq3cLKt3vZTUWiBr"]}`,
		func(v any, c *Config) bool { return texts(v, &c.Bootstrap) },
	},
	{
		"mdns", "Whether the node finds others on the local network by multicast DNS, and is found. By default it does.",
		"true or false", `{mdns: false}`, func(v any, c *Config) bool { return set(v, &c.MDNS) },
	},
	{
		"share", "How far packages go that `nuka share` was not said of. The first rule whose pattern matches the name of a package decides: " +
			"off gives it to nobody, mesh to the members of each mesh that this node is in, mesh:NAME to those of one, lan to nodes on private addresses, too, public to all. " +
			"A rule for * is also about content without a name, which goes no farther than the local network. What no rule is about goes to meshes, and to the local network, too, if it came out of the public swarm.",
		"a list of {names: PATTERN, with: off|mesh|mesh:NAME|lan|public}", `{share: [{names: "work-*", with: "mesh:team"}, {names: "*", with: lan}]}`,
		func(v any, c *Config) bool { return shares(v, &c.Share) },
	},
	{
		"relay", "Whether the node can be reached through others where there is no direct way, and lets others be reached through it. By default it does.",
		"true or false", `{relay: false}`, func(v any, c *Config) bool { return set(v, &c.Relay) },
	},
	{
		"up", "The most bytes that the node sends to others in a second. By default, and with 0b, there is no bound.",
		"a file size", `{up: 10MiB}`, func(v any, c *Config) bool { return bytesSet(v, &c.Up) },
	},
	{
		"down", "The most bytes that the node gets from others in a second. By default, and with 0b, there is no bound.",
		"a file size", `{down: 10MiB}`, func(v any, c *Config) bool { return bytesSet(v, &c.Down) },
	},
	{
		"connections", "The most connections to other nodes in each swarm. By default 200.",
		"a number from 1 to 999999", `{connections: 50}`,
		func(v any, c *Config) bool { n, ok := v.(int64); c.Connections = int(n); return ok && n > 0 && n < 1e6 },
	},
	{
		"jobs", "How many programs of builds run at once on this machine, those of all builds together. By default one for each processor.",
		"a number from 1 to 999", `{jobs: 2}`,
		func(v any, c *Config) bool { n, ok := v.(int64); c.Jobs = int(n); return ok && n > 0 && n < 1000 },
	},
	{
		"metrics", "Where Prometheus reads the node's metrics, at /metrics. Anybody who reaches the address reads them. By default nowhere.",
		"an address and a port", `{metrics: "127.0.0.1:9464"}`, func(v any, c *Config) bool { return address(v, &c.Metrics) },
	},
	{
		"control", "Where light peers of other machines attach by a ticket of `nuka daemon ticket`, such as CI jobs. By default nowhere.",
		"an address and a port", `{control: "0.0.0.0:4718"}`, func(v any, c *Config) bool { return address(v, &c.Control) },
	},
	{
		"apart", "Whether each swarm runs in a process of its own, to which neither the store nor the node's key is open. By default not; `nukad system` does it always.",
		"true or false", `{apart: true}`, func(v any, c *Config) bool { return set(v, &c.Apart) },
	},
	{
		"confine", "What packages that others described are built with: full, the default, refuses them where a wall around builds is missing on this machine; partial builds them all the same. `nuka doctor` names missing walls.",
		"full or partial", `{confine: partial}`, func(v any, c *Config) bool { c.Partial = v == "partial"; return c.Partial || v == "full" },
	},
}

// parse reads a configuration.
func parse(text []byte) (*Config, error) {
	v, err := nuon.Parse(text)
	if err != nil {
		return nil, err
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return nil, errors.New("1:1: want a record, such as " + settings[0].example)
	}
	c := defaults()
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		if i < 0 {
			var names []string
			for _, s := range settings {
				names = append(names, s.name)
			}
			return nil, fmt.Errorf("there is no setting %s: they are %s", name, strings.Join(names, ", "))
		}
		if s := settings[i]; !s.read(rec[name], c) {
			return nil, fmt.Errorf("%s: want %s, got %s; such as %s", name, s.want, written(rec[name]), s.example)
		}
	}
	return c, nil
}

// written returns a value as people write it in the file.
func written(v any) string {
	b, err := nuon.Encode(v)
	if err != nil {
		return "another kind of value"
	}
	if len(b) > 200 {
		return string(b[:200]) + "…"
	}
	return string(b)
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

// multiaddrs reads addresses that a swarm can listen at.
func multiaddrs(v any, to *[]string) bool {
	ok := texts(v, to)
	for _, text := range *to {
		ok = ok && canListen(text)
	}
	return ok
}

// canListen says whether a swarm can be told to listen at a multiaddr: an address of this machine, and a port of tcp or quic-v1.
func canListen(text string) bool {
	parts := strings.Split(text, "/")
	if len(parts) != 5 && len(parts) != 6 || parts[0] != "" {
		return false
	}
	ip, err := netip.ParseAddr(parts[2])
	if err != nil || ip.Zone() != "" || parts[1] != map[bool]string{true: "ip4", false: "ip6"}[ip.Is4()] {
		return false
	}
	if _, err := strconv.ParseUint(parts[4], 10, 16); err != nil {
		return false
	}
	how := parts[3] + "/" + strings.Join(parts[5:], "/")
	return how == "tcp/" || how == "udp/quic-v1"
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
		if !slices.Contains([]Reach{Off, Mesh, LAN, Public}, Reach(with)) && (!strings.HasPrefix(with, MeshPrefix) || with == MeshPrefix) {
			return false
		}
		*to = append(*to, ShareRule{names, Reach(with)})
	}
	return ok
}
