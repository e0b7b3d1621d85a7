package protocol

import "github.com/MordragT/nuka/internal/home"

// A Home is the set of folders of a node and its light peers on the same machine.
type Home = home.Home

// FindHome returns the home that the environment selects; see home.Find.
func FindHome(getenv func(string) string, userHome string) (Home, error) {
	return home.Find(getenv, userHome)
}

// SystemRoot returns the prefix of the system daemon's folders: NUKA_SYSTEM, or "/".
func SystemRoot(getenv func(string) string) (string, error) { return home.SystemRoot(getenv) }

// SystemHome returns the home of the system daemon: everything in nuka, the configuration in etc/nuka, below a prefix.
func SystemHome(root string) Home { return home.System(root) }
