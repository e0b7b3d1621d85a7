package protocol

import (
	"errors"
	"fmt"
	"path/filepath"
)

// A Home says where a node and its light peers on the same machine keep their things.
type Home struct {
	Data  string // the store, keys, work in progress, logs
	Cache string // what can be made again: machine code, evaluations, unfinished downloads
	Run   string // the control socket and address of the running daemon
}

// FindHome returns the home that the environment asks for:
// NUKA_HOME, which holds everything and isolates a node completely,
// or the folders of the XDG base directory specification below the user's home folder.
func FindHome(getenv func(string) string, userHome string) (Home, error) {
	if root := getenv("NUKA_HOME"); root != "" {
		root, err := filepath.Abs(root)
		return Home{
			Data: root, Cache: filepath.Join(root, "cache"), Run: filepath.Join(root, "run"),
		}, err
	}
	if userHome == "" {
		return Home{}, errors.New("no home folder: set HOME or NUKA_HOME")
	}
	if !filepath.IsAbs(userHome) { // the daemon, which starts in another folder, would take it for another one
		return Home{}, fmt.Errorf("the home folder %s is not an absolute path: set HOME or NUKA_HOME", userHome)
	}
	// The specification says to ignore relative paths.
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

// Store is the folder of the content store.
func (h Home) Store() string { return filepath.Join(h.Data, "store") }

// Work is the folder for work in progress and build logs.
func (h Home) Work() string { return filepath.Join(h.Data, "work") }

// NodeKey is the file of the node's key.
func (h Home) NodeKey() string { return filepath.Join(h.Data, "keys", "node") }

// UserKey is the file of the user's key, which the command uses.
func (h Home) UserKey() string { return filepath.Join(h.Data, "keys", "user") }

// Enrolled is the file of the keys that may call the daemon.
func (h Home) Enrolled() string { return filepath.Join(h.Data, "keys", "enrolled") }

// Grants is the file of the rights of light peers elsewhere.
func (h Home) Grants() string { return filepath.Join(h.Data, "keys", "grants") }

// Policy is the file of the policy: whose attestations count.
func (h Home) Policy() string { return filepath.Join(h.Data, "policy.nuon") }

// Config is the file of the node's configuration.
func (h Home) Config() string { return filepath.Join(h.Data, "config.nuon") }

// Swarm is the folder of what the node remembers of other nodes.
func (h Home) Swarm() string { return filepath.Join(h.Data, "swarm") }

// Meshes is the folder of the meshes that the node is in.
func (h Home) Meshes() string { return filepath.Join(h.Data, "meshes") }

// MachineCode is the folder of compiled WebAssembly. Workers only read it.
func (h Home) MachineCode() string { return filepath.Join(h.Cache, "machine") }

// OldMachineCode is where it was when workers could write there: nothing in it may be executed any more.
func (h Home) OldMachineCode() string { return filepath.Join(h.Cache, "wasm") }

// Evaluations is the folder of the evaluation cache.
func (h Home) Evaluations() string { return filepath.Join(h.Cache, "eval") }

// Downloads is the folder of unfinished downloads.
func (h Home) Downloads() string { return filepath.Join(h.Cache, "downloads") }

// DaemonLog is the file that a daemon without a terminal writes its log to.
func (h Home) DaemonLog() string { return filepath.Join(h.Run, "nukad.log") }
