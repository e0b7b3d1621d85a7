package floors

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
)

// floor maps each package to its floor. A package may import only packages of lower floors,
// and those of its own floor in its own folder, as pir imports pir/nuon. Tests may import any package.
// Packages that are designed but not written yet have a floor already.
var floor = map[string]int{
	"packages": 0, "pir": 0, "pir/nuon": 0, "pir/cid": 0,
	"protocol": 1, "wasmrt": 1, "source/kind": 1, "ecosystem": 1, "ecosystem/attest": 1, "ecosystem/attest/attesttest": 2, "sandbox": 1,
	"profile": 2, "set": 2, "sandbox/inside": 2, "inventory": 2, "cas": 2, "cas/disk": 2, "cas/index": 2, "cas/block": 2, "cas/lease": 2, "cas/collect": 2, "cas/receive": 2, "nu": 2, "nu/gitignore": 2, "nu/statcache": 2, "source": 2, "source/archive": 2, "source/git": 2, "source/debversion": 1, "source/pyversion": 1, "source/patch": 2, "source/apt": 2, "source/apt/apttest": 2, "advisory": 2, "advisory/version": 2, "advisory/osv": 2, "advisory/feed": 2, "service": 2, "fhs": 2, "foreign": 2, "foreign/elfdeps": 2, "foreign/permission": 2, "foreign/proxy": 2, "foreign/prepared": 2, "foreign/safety": 2, "foreign/lack": 2, "foreign/bus": 2,
	"ecosystem/pip": 2, "ecosystem/npm": 2, "ecosystem/cargo": 2, "ecosystem/gomod": 2, "ecosystem/maven": 2,
	"ecosystem/adapters": 3, "service/supervise": 3, "cas/castest": 3, "fsmount": 3, "fsmount/checkout": 3, "node/swarm": 3, "node/swarm/routing": 3, "node/swarm/wire": 3, "node/swarm/peers": 3, "node/swarm/fetch": 3, "ecosystem/ecotest": 3,
	"node/swarm/serve": 3, "node/swarm/claims": 3, "node/realize": 3, "node/control": 3, "node/config": 3,
	"service/deploy": 4, "node": 4, "node/netd": 4, "node/swarm/routing/routingtest": 4, "node/mesh": 4, "node/tidy": 4, "node/watch": 4, "node/machine": 4, "node/worker": 4, "node/trust": 4, "node/published": 4, "node/sharing": 4, "node/metrics": 4, "node/swarms": 4,
	"cmd/nuka": 5, "cmd/nukad": 5, "cmd/nuka-sandbox": 5, "testnet": 5, "tools/bench": 5,
}

// rooms divides a package into rooms, from the bottom up: a room imports only rooms before it in the list.
// The package itself is the last room. A room that is not open may be imported only by rooms of the same list, and by tests.
var rooms = map[string][]room{
	"cas":      {{name: "cas/disk"}, {name: "cas/index"}, {name: "cas/block"}, {name: "cas/lease"}, {name: "cas/receive", open: true}, {name: "cas/collect"}, {name: "cas", open: true}},
	"advisory": {{name: "advisory/version", open: true}, {name: "advisory/osv", open: true}, {name: "advisory/feed", open: true}, {name: "advisory", open: true}},
	"foreign":  {{name: "foreign/elfdeps", open: true}, {name: "foreign/bus", open: true}, {name: "foreign/permission", open: true}, {name: "foreign/proxy", open: true}, {name: "foreign/prepared", open: true}, {name: "foreign/safety", open: true}, {name: "foreign/lack", open: true}, {name: "foreign", open: true}},
	"node/swarm": {{name: "node/swarm/routing", open: true}, {name: "node/swarm/wire"}, {name: "node/swarm/peers", open: true},
		{name: "node/swarm/fetch", open: true}, {name: "node/swarm/serve"}, {name: "node/swarm/claims"}, {name: "node/swarm", open: true}},
	"source": {{name: "source/archive", open: true}, {name: "source/git"}, {name: "source/debversion", open: true}, {name: "source/pyversion", open: true}, {name: "source/patch"},
		{name: "source/apt", open: true}, {name: "source", open: true}},
	"node": {{name: "node/machine", open: true}, {name: "node/mesh"}, {name: "node/netd", open: true}, {name: "node/tidy"}, {name: "node/watch"}, {name: "node/worker", open: true},
		{name: "node/trust"}, {name: "node/published"}, {name: "node/sharing"}, {name: "node/metrics"}, {name: "node/swarms"}, {name: "node", open: true}},
}

type room struct {
	name string
	open bool
}

// roomOf returns the package to whose rooms pkg belongs, its place in the list, and whether it is open.
func roomOf(pkg string) (house string, number int, open bool) {
	for house, list := range rooms {
		for i, r := range list {
			if r.name == pkg {
				return house, i, r.open
			}
		}
	}
	return "", 0, true
}

func TestRooms(t *testing.T) {
	folders := map[string]bool{}
	for _, s := range sources(t) {
		folders[s.pkg] = true
		if s.test {
			continue
		}
		house, number, _ := roomOf(s.pkg)
		ours, _ := s.imports()
		for _, dep := range ours {
			h, n, open := roomOf(dep)
			switch {
			case h == "":
			case h != house && !open:
				t.Errorf("%s imports %s, which is open to the rooms of %s only", s.name, dep, h)
			case h == house && n >= number:
				t.Errorf("%s: %s imports %s, which is no lower room of %s", s.name, s.pkg, dep, h)
			}
		}
	}
	for house, list := range rooms {
		for _, r := range list {
			if !folders[r.name] {
				t.Errorf("%s, a room of %s, is no package", r.name, house)
			}
		}
	}
}

// floorOf returns the floor of a package. Packages below tools are programs beside the commands.
func floorOf(pkg string) (int, bool) {
	if f, ok := floor[pkg]; ok {
		return f, true
	}
	if strings.HasPrefix(pkg, "tools/") {
		return 5, true
	}
	return 0, false
}

func TestFloors(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.pkg, "internal/") {
			continue
		}
		f, ok := floorOf(s.pkg)
		if !ok {
			t.Errorf("%s: %s stands on no floor; add it to the table", s.name, s.pkg)
			continue
		}
		if s.test {
			continue
		}
		ours, _ := s.imports()
		for _, dep := range ours {
			if strings.HasPrefix(dep, "internal/") {
				continue
			}
			d, ok := floorOf(dep)
			house, _, _ := roomOf(dep)
			here, _, _ := roomOf(s.pkg)
			beside := house != "" && house == here // TestRooms checks imports among rooms
			if inside := d == f && strings.HasPrefix(dep, s.pkg+"/"); !ok || d >= f && !inside && !beside {
				t.Errorf("%s: %s (floor %d) imports %s (floor %d)", s.name, s.pkg, f, dep, d)
			}
		}
	}
}

// noNetwork bars what speaks on sockets from workers, from the decisions about sharing, and from the parts of the swarm that reach peers by
// routing.Router.
var noNetwork = map[string]string{
	"node/swarm/peers":           "only node/swarm joins it to the rest",
	"github.com/libp2p":          "only node/swarm/peers speaks libp2p",
	"github.com/ipfs":            "only node/swarm/peers speaks Bitswap",
	"github.com/multiformats":    "only node/swarm/peers knows multiaddrs",
	"github.com/quic-go/quic-go": "only node/swarm/peers speaks QUIC to peers",
}

// barred maps programs and packages to what they must not import, even indirectly, each with the reason: packages of the project, and third-party modules with
// everything below them. The longest matching name counts. An empty reason allows the import.
var barred = map[string]map[string]string{
	"node/swarm/routing": noNetwork, "node/swarm/wire": noNetwork, "node/swarm/fetch": noNetwork, "node/swarm/serve": noNetwork, "node/swarm/claims": noNetwork,
	"cmd/nuka-sandbox": {
		"protocol": "the launcher starts in a few milliseconds, because it links little",
		"pir":      "the launcher starts in a few milliseconds, because it links little",
		"wasmrt":   "the launcher runs native programs only",
	},
	"node/worker": noNetwork, "node/sharing": noNetwork,
	"cmd/nuka": {
		"cas":              "the command holds no store",
		"cas/block":        "the command holds no store",
		"cas/collect":      "the command holds no store",
		"cas/lease":        "the command holds no store",
		"cas/disk":         "the command holds no store",
		"cas/index":        "the command holds no store",
		"cas/receive":      "the command holds no store",
		"fsmount":          "the command mounts nothing",
		"fsmount/checkout": "the command holds no store",
		"node":             "the command is not the daemon",
		"node/realize":     "the command asks for content and does not make it",
		"node/swarm":       "the command speaks to its daemon only",

		"github.com/cockroachdb":                       "the command holds no store",
		"github.com/hanwen/go-fuse":                    "the command mounts nothing",
		"github.com/ipfs":                              "the command exchanges no blocks",
		"github.com/libp2p":                            "the command is no peer",
		"github.com/libp2p/go-libp2p/core/crypto":      "", // the command's key, which is its identity
		"github.com/libp2p/go-libp2p/core/peer":        "",
		"github.com/libp2p/go-libp2p/p2p/security/tls": "", // how the command and the daemon authenticate each other
	},
}

func TestBarred(t *testing.T) {
	all := map[string]map[string]bool{} // all imports of a package, of the project and third-party
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		if all[s.pkg] == nil {
			all[s.pkg] = map[string]bool{}
		}
		ours, others := s.imports()
		for _, dep := range append(ours, others...) {
			all[s.pkg][dep] = true
		}
	}
	for prog, bad := range barred {
		if all[prog] == nil {
			t.Errorf("%s: no such program", prog)
		}
		seen := map[string]bool{}
		var walk func(string, []string)
		walk = func(pkg string, via []string) {
			if seen[pkg] {
				return
			}
			seen[pkg] = true
			via = append(via, pkg)
			why := bad[pkg]
			if _, ours := all[pkg]; !ours {
				name, _ := longest(maps.Keys(bad), pkg)
				why = bad[name]
			}
			if why != "" {
				t.Errorf("%s: %s", strings.Join(via, " -> "), why)
			}
			for _, dep := range slices.Sorted(maps.Keys(all[pkg])) {
				walk(dep, slices.Clone(via))
			}
		}
		walk(prog, nil)
	}
}

// A door lists the packages that may import a third-party module: in code, and only in tests.
// A package's tests may also import what its code may. "*" means any package.
type door struct{ code, tests []string }

// doors lists every third-party module, or part of one. The longest matching name counts.
// One owner for each module keeps it replaceable, and keeps its effects in one place.
var doors = map[string]door{
	// The store's index. Its test file system simulates power cuts.
	"github.com/cockroachdb/pebble/v2": {code: []string{"cas/index"}, tests: []string{"cas"}},
	// WebAssembly, and the confinement of the processes that run it.
	"github.com/tetratelabs/wazero":       {code: []string{"wasmrt"}},
	"github.com/landlock-lsm/go-landlock": {code: []string{"wasmrt", "sandbox", "sandbox/inside"}}, // also that of foreign programs
	"github.com/hanwen/go-fuse/v2":        {code: []string{"fsmount"}},
	// The peer. Light peers use only libp2p's identities and its TLS handshake.
	"github.com/libp2p":                            {code: []string{"node/swarm/peers"}, tests: []string{"testnet", "node/swarm"}},
	"github.com/libp2p/go-libp2p/core/crypto":      {code: []string{"node/swarm/peers", "node/control"}, tests: []string{"testnet", "node", "node/swarm"}},
	"github.com/libp2p/go-libp2p/core/peer":        {code: []string{"node/swarm/peers", "node/control"}, tests: []string{"testnet", "node", "node/swarm"}},
	"github.com/libp2p/go-libp2p/p2p/security/tls": {code: []string{"node/swarm/peers", "node/control"}, tests: []string{"node/swarm"}},
	"github.com/libp2p/go-libp2p/x/simlibp2p":      {code: []string{"testnet"}, tests: []string{"node/swarm", "node"}},
	"github.com/marcopolo/simnet":                  {code: []string{"testnet"}, tests: []string{"node/swarm", "node"}},
	"github.com/ipfs":                              {code: []string{"node/swarm/peers"}, tests: []string{"pir/cid", "testnet", "node/swarm"}}, // the tests of pir/cid compare with it
	"github.com/multiformats":                      {code: []string{"node/swarm/peers"}, tests: []string{"pir/cid", "testnet", "node/swarm"}},
	"github.com/prometheus/client_golang":          {code: []string{"node/metrics", "node/swarm", "node/netd"}},                      // node/metrics serves what node/swarm counts
	"github.com/quic-go/quic-go":                   {code: []string{"node/control", "node/swarm/peers"}, tests: []string{"testnet"}}, // the swarm: types of its sockets
	// Hashes of content.
	"github.com/zeebo/blake3": {code: []string{"*"}},
	"github.com/twmb/murmur3": {code: []string{"pir/cid"}},
	// Archives, registries and their configuration.
	"github.com/klauspost/compress/zstd": {code: []string{"source/archive", "nu", "node/swarm/wire", "advisory/feed"}},
	"github.com/ulikunitz/xz":            {code: []string{"source/archive"}},
	"github.com/mikelolasagasti/xz":      {code: []string{"source/archive"}},
	"github.com/BurntSushi/toml":         {code: []string{"source", "ecosystem/cargo", "ecosystem/pip"}},
	"github.com/ProtonMail/go-crypto":    {code: []string{"source/apt", "source/apt/apttest"}},
	"golang.org/x/mod":                   {code: []string{"source", "ecosystem/npm", "ecosystem/cargo", "ecosystem/gomod", "advisory/version"}},
	"golang.org/x/text":                  {code: []string{"source/archive"}},
	// Formats of inventories.
	"github.com/CycloneDX/cyclonedx-go":    {code: []string{"inventory"}},
	"github.com/spdx/tools-golang":         {code: []string{"inventory"}},
	"github.com/github/go-spdx/v2":         {code: []string{"inventory"}},
	"github.com/package-url/packageurl-go": {code: []string{"inventory"}},
	// Records of vulnerabilities: the orders of versions, and CVSS.
	"github.com/google/osv-scalibr/semantic": {code: []string{"advisory/version"}},
	"github.com/pandatix/go-cvss":            {code: []string{"advisory/osv"}},
	// Clients of a D-Bus bus: notes on the desktop, and what the tests of the filter put before and behind it.
	"github.com/godbus/dbus/v5": {code: []string{"internal/desktop", "internal/desktop/desktoptest"}, tests: []string{"foreign/bus"}},
	// The terminal.
	"github.com/spf13/cobra":       {code: []string{"cmd/nuka"}},
	"github.com/spf13/pflag":       {code: []string{"cmd/nuka"}},
	"github.com/vbauerster/mpb/v8": {code: []string{"cmd/nuka"}},
	"github.com/mattn/go-isatty":   {code: []string{"cmd/nuka"}},
	"golang.org/x/term":            {code: []string{"wasmrt"}},
	// The system and concurrency.
	"golang.org/x/sys":         {code: []string{"*"}},
	"golang.org/x/sync":        {code: []string{"*"}},
	"golang.org/x/time/rate":   {code: []string{"node/swarm", "node/swarm/routing", "node/swarm/peers", "node/swarm/fetch", "node/swarm/serve"}},
	"golang.org/x/net/html":    {code: []string{"source", "ecosystem/pip"}},
	"golang.org/x/net/netutil": {code: []string{"foreign/proxy", "ecosystem"}},
	"golang.org/x/net/http":    {code: []string{"ecosystem"}},
	"golang.org/x/net/http2":   {code: []string{"ecosystem"}},
	"golang.org/x/net/ipv4":    {code: []string{"node/swarm/peers"}}, // for the types of quic-go's sockets
	// Tests.
	"google.golang.org/protobuf":      {tests: []string{"node/swarm"}}, // hostile peers in tests speak the DHT's protocol themselves
	"github.com/google/go-cmp":        {code: []string{"cas/castest"}, tests: []string{"*"}},
	"github.com/rogpeppe/go-internal": {tests: []string{"*"}},
	"go.uber.org/goleak":              {tests: []string{"*"}},
}

func TestDoors(t *testing.T) {
	for _, s := range sources(t) {
		_, others := s.imports()
		for _, dep := range others {
			name, ok := longest(maps.Keys(doors), dep)
			if !ok {
				t.Errorf("%s imports %s, which has no door; add it to the table with its owner", s.name, dep)
				continue
			}
			d := doors[name]
			may := slices.Clone(d.code)
			if s.test {
				may = append(may, d.tests...)
			}
			if !slices.Contains(may, s.pkg) && !slices.Contains(may, "*") {
				t.Errorf("%s imports %s, whose door is %s", s.name, dep, strings.Join(may, ", "))
			}
		}
	}
}

// longest returns the longest of the names that equals pkg or is a folder above it.
func longest(names iter.Seq[string], pkg string) (best string, ok bool) {
	for name := range names {
		if (name == pkg || strings.HasPrefix(pkg, name+"/")) && len(name) >= len(best) {
			best, ok = name, true
		}
	}
	return best, ok
}
