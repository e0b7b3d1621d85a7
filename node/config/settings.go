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
	"time"

	"github.com/MordragT/nuka/pir/nuon"
)

// A setting is one field of config.nuon: its documentation, and the function that reads it.
type setting struct {
	name    string
	doc     string // its effect and its default
	want    string // the values that it accepts
	example string // NUON of the whole file
	read    func(v any, c *Config) bool
}

// settings lists all settings, in the order of docs/config.md.
var settings = []setting{
	{
		"listen", "The addresses at which the node accepts connections. With this setting the node joins the public swarm at its start; otherwise it joins " +
			"when it has a reason. By default the system chooses the ports. Meshes use other ports of the same addresses.",
		"a list of multiaddrs, each with an address of this machine and a port for tcp or quic-v1",
		`{listen: ["/ip4/0.0.0.0/udp/4717/quic-v1", "/ip4/0.0.0.0/tcp/4717"]}`,
		func(v any, c *Config) bool { c.Listens = true; return multiaddrs(v, &c.Listen) },
	},
	{
		"bootstrap", "Bootstrap peers: nodes through which this node finds others, where multicast DNS finds none. `nuka swarm bootstrap` writes this setting.",
		"a list of tickets, or of multiaddrs with the peer id of the node", `{bootstrap: ["/ip4/192.0.2.1/tcp/4717/p2p/12D3KooWJ5Z5rkWBzHs2ycUtnMKTPuWAsPQBsq3cLKt3vZTUWiBr"]}`,
		func(v any, c *Config) bool { return texts(v, &c.Bootstrap) },
	},
	{
		"mdns", "Whether nodes on the local network find each other by multicast DNS. By default they do.",
		"true or false", `{mdns: false}`, func(v any, c *Config) bool { return set(v, &c.MDNS) },
	},
	{
		"share", "The scope of packages that you did not share with `nuka share`. The first rule whose pattern matches the name of a package decides: " +
			"off serves it to nobody, mesh to the members of each mesh that this node is in, mesh:NAME to the members of one mesh, lan also to nodes on private addresses, public to all nodes. " +
			"A rule for * also covers content without a name, but never with a wider scope than lan. Without a matching rule the scope is mesh, or lan for content that this node fetched from the public swarm.",
		"a list of {names: PATTERN, with: off|mesh|mesh:NAME|lan|public}", `{share: [{names: "work-*", with: "mesh:team"}, {names: "*", with: lan}]}`,
		func(v any, c *Config) bool { return shares(v, &c.Share) },
	},
	{
		"relay", "Whether other nodes relay connections to this node where no direct connection is possible, and this node relays theirs. By default yes.",
		"true or false", `{relay: false}`, func(v any, c *Config) bool { return set(v, &c.Relay) },
	},
	{
		"up", "The most bytes that the node sends to other nodes in a second. By default, and with 0b, there is no limit.",
		"a file size", `{up: 10MiB}`, func(v any, c *Config) bool { return bytesSet(v, &c.Up) },
	},
	{
		"down", "The most bytes that the node receives from other nodes in a second. By default, and with 0b, there is no limit.",
		"a file size", `{down: 10MiB}`, func(v any, c *Config) bool { return bytesSet(v, &c.Down) },
	},
	{
		"connections", "The most connections to other nodes in each swarm. The default is 200.",
		"a number from 1 to 999999", `{connections: 50}`,
		func(v any, c *Config) bool { n, ok := v.(int64); c.Connections = int(n); return ok && n > 0 && n < 1e6 },
	},
	{
		"jobs", "The most programs that run at once on this machine in all builds together. By default one for each processor.",
		"a number from 1 to 999", `{jobs: 2}`,
		func(v any, c *Config) bool { n, ok := v.(int64); c.Jobs = int(n); return ok && n > 0 && n < 1000 },
	},
	{
		"metrics", "The address at which the node serves metrics for Prometheus, at /metrics. Anybody who can reach the address can read them. By default the node serves none.",
		"an address and a port", `{metrics: "127.0.0.1:9464"}`, func(v any, c *Config) bool { return address(v, &c.Metrics) },
	},
	{
		"control", "The address at which light peers on other machines, such as CI jobs, attach with a ticket of `nuka daemon ticket`. By default none can.",
		"an address and a port", `{control: "0.0.0.0:4718"}`, func(v any, c *Config) bool { return address(v, &c.Control) },
	},
	{
		"apart", "Whether each swarm runs in a process of its own, which can access neither the store nor the node's key. By default not; `nukad system` always does this.",
		"true or false", `{apart: true}`, func(v any, c *Config) bool { return set(v, &c.Apart) },
	},
	{
		"gc", "When the node removes packages that nothing needs by itself, as `nuka gc` does: when less than min-free is free on the disk of the store, " +
			"from the least recently used ones on, until max-free is free. It keeps what was used within keep. By default it never does.",
		"{min-free: SIZE, max-free: SIZE, keep: TIME}, where max-free is not less than min-free", `{gc: {min-free: 5GiB, max-free: 20GiB, keep: 30day}}`,
		func(v any, c *Config) bool { return collection(v, &c.GC) },
	},
	{
		"scrub", "How the node compares the files of the store with their hashes in the background, so that damage is found while a peer still has the content: " +
			"it reads rate bytes in a second, and begins anew when interval has passed since the end of the last pass. It sets damaged files aside and repairs their packages. " +
			"By default 4 MiB in a second and 30 days. With the rate 0b it never does.",
		"{rate: SIZE, interval: TIME}", `{scrub: {rate: 1MiB, interval: 90day}}`,
		func(v any, c *Config) bool { return scrub(v, &c.Scrub) },
	},
	{
		"watch", "How often the daemon of a user updates the feeds of advisories and tells what is new, as `nuka advisories watch --once` does, when there is a feed. By default once a day. 0sec is never.",
		"TIME", `{watch: 7day}`,
		func(v any, c *Config) bool {
			var every nuon.Duration
			ok := set(v, &every) && every >= 0
			c.Watch = time.Duration(every)
			return ok
		},
	},
	{
		"store", "How much the store takes in: quota is the most bytes of files that it holds, and reserve how much space of its disk new content leaves free. " +
			"Content that would exceed one of them is refused before it is written; `nuka gc` makes room. By default there is no quota, and the reserve is what the store needs to remove content.",
		"{quota: SIZE, reserve: SIZE}, or one of the two", `{store: {quota: 200GiB, reserve: 10GiB}}`,
		func(v any, c *Config) bool { return storeBounds(v, &c.Store) },
	},
	{
		"confine", "Whether the node builds packages that other users described on a machine where a wall around builds is missing. full, the default, refuses such builds; partial allows them. `nuka doctor` names missing walls.",
		"full or partial", `{confine: partial}`, func(v any, c *Config) bool { c.Partial = v == "partial"; return c.Partial || v == "full" },
	},
	{
		"mount", "How the node shows packages as folders below `mnt` in its home: `mnt/PID/bin/…`. fuse mounts a file system, which shows each package of the store at once " +
			"and takes no room. checkout makes a real folder when a command asks for a package, of hard links where it can. auto, the default, is fuse where the system allows it, and else checkout. " +
			"off shows none. `nuka status` says which is in use, and `nuka doctor` why it is not a better one.",
		"auto, fuse, checkout or off", `{mount: checkout}`,
		func(v any, c *Config) bool {
			return set(v, &c.Mount) && slices.Contains([]string{MountAuto, MountFUSE, MountCheckout, MountOff}, c.Mount)
		},
	},
	{
		"mount-realize", "Whether a program that looks for a PID in the mount gets it built or received if the store does not have it. The program waits meanwhile. By default not.",
		"true or false", `{mount-realize: true}`, func(v any, c *Config) bool { return set(v, &c.MountRealize) },
	},
	{
		"ecosystem", "How `nuka lock` and `nuka exec --record` record what package managers download. cooldown is the age that a version must have: younger ones are left out, since malicious " +
			"releases are mostly found within days. It is 7 days by default, and 0day takes all versions. exempt names packages whose young versions are taken. " +
			"--cooldown and --exempt override both. record: true makes `nuka exec` record by default with the runtimes " +
			"of languages. The commands read this setting on each run.",
		"{cooldown: {ECOSYSTEM: TIME}, exempt: {ECOSYSTEM: [NAME]}, record: true|false}, or some of them; an ECOSYSTEM is pip, npm, cargo, go or maven",
		`{ecosystem: {cooldown: {pip: 14day, npm: 3day}, exempt: {pip: [our-library]}, record: true}}`,
		func(v any, c *Config) bool { return ecosystems(v, &c.Ecosystem) },
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
			return nil, fmt.Errorf("unknown setting %s; the settings are %s", name, strings.Join(names, ", "))
		}
		if s := settings[i]; !s.read(rec[name], c) {
			return nil, fmt.Errorf("%s: want %s, got %s; such as %s", name, s.want, written(rec[name]), s.example)
		}
	}
	return c, nil
}

// written returns a value as the file has it.
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

// collection reads when the node collects.
func collection(v any, to **GC) bool {
	rec, _ := v.(nuon.Record)
	g := &GC{}
	var keep nuon.Duration
	ok := len(rec) == 3 && bytesSet(rec["min-free"], &g.MinFree) && bytesSet(rec["max-free"], &g.MaxFree) && set(rec["keep"], &keep)
	g.Keep = time.Duration(keep)
	*to = g
	return ok && g.MinFree > 0 && g.MaxFree >= g.MinFree && keep >= 0
}

// scrub reads how the node reads the store in the background.
func scrub(v any, to *Scrub) bool {
	rec, _ := v.(nuon.Record)
	var interval nuon.Duration
	ok := len(rec) == 2 && bytesSet(rec["rate"], &to.Rate) && set(rec["interval"], &interval)
	to.Interval = time.Duration(interval)
	return ok && interval > 0
}

// storeBounds reads the bounds of the store.
func storeBounds(v any, to *Store) bool {
	rec, _ := v.(nuon.Record)
	ok := len(rec) > 0
	for name, size := range rec {
		at := map[string]*int64{"quota": &to.Quota, "reserve": &to.Reserve}[name]
		ok = ok && at != nil && bytesSet(size, at) && *at > 0
	}
	return ok
}

// ecosystemNames are the names of the adapters of package ecosystem/adapters, on which this package does not depend. A test of cmd/nuka compares them.
var ecosystemNames = []string{"pip", "npm", "cargo", "go", "maven"}

// ecosystems reads how registries are recorded.
func ecosystems(v any, to *Ecosystem) bool {
	rec, _ := v.(nuon.Record)
	ok := len(rec) > 0
	*to = Ecosystem{Cooldown: map[string]time.Duration{}, Exempt: map[string][]string{}}
	for name, field := range rec {
		if name == "record" {
			ok = set(field, &to.Record) && ok
			continue
		}
		each, isRecord := field.(nuon.Record)
		ok = ok && isRecord && (name == "cooldown" || name == "exempt")
		for e, value := range each {
			ok = ok && slices.Contains(ecosystemNames, e)
			switch name {
			case "cooldown":
				d, isTime := value.(nuon.Duration)
				to.Cooldown[e] = time.Duration(d)
				ok = ok && isTime && d >= 0
			case "exempt":
				var names []string
				ok = texts(value, &names) && ok
				to.Exempt[e] = names
			}
		}
	}
	return ok
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

// multiaddrs reads addresses at which a swarm can listen.
func multiaddrs(v any, to *[]string) bool {
	ok := texts(v, to)
	for _, text := range *to {
		ok = ok && canListen(text)
	}
	return ok
}

// canListen reports whether a swarm can listen at a multiaddr: an address of this machine, and a port of tcp or quic-v1.
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
