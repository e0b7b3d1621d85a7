// Package home knows the folders of a node and its light peers. Package protocol has its names; small programs import this one.
package home

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Home is the set of folders of a node and its light peers on the same machine. For a light peer of the system daemon, Data and Cache are the
// user's own.
type Home struct {
	Data  string // the store, keys, work in progress, logs
	Cache string // what can be computed or downloaded again: machine code, evaluations, unfinished downloads
	Run   string // the control socket and address of the running daemon
	// System is the prefix of the system daemon's folders, if this home belongs to the system daemon or uses it: "/", except in tests
	// and containers. Otherwise it is "".
	System string
}

// SystemRoot returns the prefix of the system daemon's folders: NUKA_SYSTEM, or "/".
func SystemRoot(getenv func(string) string) (string, error) {
	root := getenv("NUKA_SYSTEM")
	if root == "" {
		return "/", nil
	}
	if !filepath.IsAbs(root) {
		return "", fmt.Errorf("NUKA_SYSTEM=%s is not an absolute path", root)
	}
	return filepath.Clean(root), nil
}

// System returns the home of the system daemon: everything in nuka, the configuration in etc/nuka, below a prefix.
func System(root string) Home {
	data := filepath.Join(root, "nuka", "var")
	return Home{Data: data, Cache: filepath.Join(data, "cache"), Run: filepath.Join(root, "nuka", "run"), System: root}
}

// OfUser returns the home of a user's light peer of the system daemon s: the user's own files, and the daemon's socket and mount.
func (h Home) OfUser(s Home) Home {
	h.Run, h.System = s.Run, s.System
	return h
}

// etc returns the folder of the files that an administrator writes.
func (h Home) etc() string {
	if h.System != "" {
		return filepath.Join(h.System, "etc", "nuka")
	}
	return h.Data
}

// Mount returns the folder in which the packages of the store appear under their PIDs.
func (h Home) Mount() string {
	if h.System != "" {
		return filepath.Join(h.System, "nuka", "store")
	}
	return filepath.Join(h.Data, "mnt")
}

// Users returns the folder of what a system daemon keeps for each user: the user's policy.
func (h Home) Users() string { return filepath.Join(h.Data, "users") }

// Find returns the home that the environment selects:
// NUKA_HOME, which holds everything and isolates a node completely,
// or the folders of the XDG base directory specification below the user's home folder.
func Find(getenv func(string) string, userHome string) (Home, error) {
	if root := getenv("NUKA_HOME"); root != "" {
		root, err := filepath.Abs(root)
		return Home{
			Data: root, Cache: filepath.Join(root, "cache"), Run: filepath.Join(root, "run"),
		}, err
	}
	if userHome == "" {
		return Home{}, errors.New("no home folder: set HOME or NUKA_HOME")
	}
	if !filepath.IsAbs(userHome) { // the daemon starts in another folder and would resolve it differently
		return Home{}, fmt.Errorf("the home folder %s is not an absolute path: set HOME or NUKA_HOME", userHome)
	}
	// The XDG specification says to ignore relative paths.
	xdg := func(name string, otherwise ...string) string {
		if dir := getenv(name); filepath.IsAbs(dir) {
			return filepath.Join(dir, "nuka")
		}
		return filepath.Join(append([]string{userHome}, append(otherwise, "nuka")...)...)
	}
	h := Home{Data: xdg("XDG_DATA_HOME", ".local", "share"), Cache: xdg("XDG_CACHE_HOME", ".cache")}
	if h.Run = filepath.Join(h.Data, "run"); filepath.IsAbs(getenv("XDG_RUNTIME_DIR")) {
		h.Run = xdg("XDG_RUNTIME_DIR")
	}
	return h, nil
}

// FindWithSystem returns the home that the environment selects, as Find does. If this machine has a system daemon and NUKA_HOME is not set, it is that daemon's,
// with the user's own files.
func FindWithSystem(getenv func(string) string, userHome string) (Home, error) {
	h, err := Find(getenv, userHome)
	if err != nil || getenv("NUKA_HOME") != "" {
		return h, err
	}
	root, err := SystemRoot(getenv)
	if err != nil {
		return h, err
	}
	system := System(root)
	if _, err := os.Stat(system.Run); err == nil {
		return h.OfUser(system), nil
	}
	return h, nil
}

// Store returns the folder of the content store.
func (h Home) Store() string { return filepath.Join(h.Data, "store") }

// Slots returns the file of the numbers that packages have in the mount.
func (h Home) Slots() string { return filepath.Join(h.Data, "slots") }

// Work returns the folder of builds in progress and build logs.
func (h Home) Work() string { return filepath.Join(h.Data, "work") }

// NodeKey returns the file of the node's key.
func (h Home) NodeKey() string { return filepath.Join(h.Data, "keys", "node") }

// UserKey returns the file of the user's key, which the command uses.
func (h Home) UserKey() string { return filepath.Join(h.Data, "keys", "user") }

// Enrolled returns the file of the keys that may call the daemon.
func (h Home) Enrolled() string { return filepath.Join(h.Data, "keys", "enrolled") }

// Grants returns the file of the rights of light peers on other machines.
func (h Home) Grants() string { return filepath.Join(h.Data, "keys", "grants") }

// Policy returns the file of the policy.
func (h Home) Policy() string { return filepath.Join(h.etc(), "policy.nuon") }

// Config returns the file of the node's configuration.
func (h Home) Config() string { return filepath.Join(h.etc(), "config.nuon") }

// Swarm returns the folder of the node's records about other nodes.
func (h Home) Swarm() string { return filepath.Join(h.Data, "swarm") }

// Meshes returns the folder of the meshes that the node is in.
func (h Home) Meshes() string { return filepath.Join(h.Data, "meshes") }

// Permissions returns the folder of what the user decided about foreign programs.
func (h Home) Permissions() string { return filepath.Join(h.Data, "permissions") }

// AppHome returns the private home folder of an application.
func (h Home) AppHome(app string) string { return filepath.Join(h.Data, "apps", app) }

// Profiles returns the folder of the user's profiles.
func (h Home) Profiles() string { return filepath.Join(h.Data, "profiles") }

// Sets returns the folder of the package sets that the user has added.
func (h Home) Sets() string { return filepath.Join(h.Data, "sets") }

// SetKey returns the file of the key with which the user signs package sets.
func (h Home) SetKey() string { return filepath.Join(h.Data, "keys", "set") }

// Advisories returns the folder of the feeds of advisories that the user follows, and of what the user decided about findings.
func (h Home) Advisories() string { return filepath.Join(h.Data, "advisories") }

// Feeds returns the file of the feeds that the user follows.
func (h Home) Feeds() string { return filepath.Join(h.Advisories(), "feeds.nuon") }

// Watched returns the file whose time of change is that of the last look at the feeds.
func (h Home) Watched() string { return filepath.Join(h.Advisories(), "watched") }

// FeedKey returns the file of the key with which the user signs feeds of advisories.
func (h Home) FeedKey() string { return filepath.Join(h.Data, "keys", "feed") }

// Audits returns the folder of what audits found packages to be made of.
func (h Home) Audits() string { return filepath.Join(h.Cache, "audit") }

// MachineCode returns the folder of compiled WebAssembly. Workers have it read-only.
func (h Home) MachineCode() string { return filepath.Join(h.Cache, "machine") }

// OldMachineCode returns the folder of compiled WebAssembly that workers could write in earlier versions. Never execute anything in it.
func (h Home) OldMachineCode() string { return filepath.Join(h.Cache, "wasm") }

// Evaluations returns the folder of the evaluation cache.
func (h Home) Evaluations() string { return filepath.Join(h.Cache, "eval") }

// Results returns the folder of what programs did in builds.
func (h Home) Results() string { return filepath.Join(h.Cache, "results") }

// PreparedRuns returns the folder of prepared runs of foreign programs.
func (h Home) PreparedRuns() string { return filepath.Join(h.Cache, "exec") }

// Unpacked returns the folder of programs that exec has unpacked.
func (h Home) Unpacked() string { return filepath.Join(h.Cache, "unpacked") }

// Downloads returns the folder of unfinished downloads.
func (h Home) Downloads() string { return filepath.Join(h.Cache, "downloads") }

// DaemonLog returns the file to which a daemon without a terminal writes its log.
func (h Home) DaemonLog() string { return filepath.Join(h.Run, "nukad.log") }
