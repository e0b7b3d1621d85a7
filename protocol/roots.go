package protocol

import (
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
)

// The calls of control that concern what a store keeps.
const (
	OpRoots   Op = "roots"   // RootsArgs → []Root
	OpCollect Op = "collect" // CollectArgs → Collection, with events
	OpWhy     Op = "why"     // PathArgs → Why
	OpSize    Op = "size"    // PathArgs → Sizes
)

// The beginnings of the names of roots that the node's user may put and remove. Names are paths; other beginnings are the daemon's own marks.
const (
	RootUser      = "user/"      // of nuka root add
	RootProfile   = "profile/"   // generations of profiles: profile/NAME/NUMBER
	RootServices  = "services/"  // generations of services: services/FOLDER/NUMBER
	RootUsers     = "users/"     // of the users of a system daemon: users/NUMBER/NAME, where each user sees NAME
	RootPublished = "published/" // trees of feeds and package sets that the node publishes or follows: published/KIND/KEY/NAME
	RootGot       = "got/"       // content that was got by its CID; the user removes it and does not put it
)

// A Root is a name that keeps a package or content, and everything that it refers to, from collection.
type Root struct {
	Name    string    `json:"name"`
	PID     pir.PID   `json:"pid,omitzero"` // zero: of content that is no package
	CID     string    `json:"cid,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// RootsArgs changes roots in one durable step, and then lists them.
// A root to put has a name and a PID, or a name and a CID: the daemon sets the other fields. Put replaces a root of the same name.
// It is an error to delete a name that is not there.
type RootsArgs struct {
	Put    []Root   `json:"put,omitempty"`
	Delete []string `json:"delete,omitempty"`
	// List returns the roots, in the order of their names; without it the result is empty.
	List bool `json:"list,omitempty"`
	// Prefix lists only roots whose names begin with it.
	Prefix string `json:"prefix,omitempty"`
}

// CheckRootName returns an error unless the node's user may put a root of this name, or remove it.
func CheckRootName(name string, remove bool) error {
	for _, prefix := range []string{RootUser, RootProfile, RootServices, RootGot} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || prefix == RootGot && !remove {
			continue
		}
		for part := range strings.SplitSeq(rest, "/") {
			if part == "" || part == "." || part == ".." {
				return Errorf(Invalid, "%.80q is no name of a root: it has an empty part, or one of dots", name).WithHint("names are paths such as user/tools")
			}
		}
		return nil
	}
	return Errorf(Invalid, "%.80q is not the name of a root that a user may change", name).
		WithHint("such names begin with %s or %s; nuka root list shows all", RootUser, RootProfile)
}

// CollectArgs removes from the store what nothing keeps.
type CollectArgs struct {
	// DryRun removes nothing and returns what would be removed.
	DryRun bool `json:"dry_run,omitempty"`
	// Max is how many bytes to free, from the packages that were used least recently on; 0 frees all that can be freed.
	Max int64 `json:"max,omitempty"`
	// Recent keeps packages that were used within that time, in nanoseconds; 0 keeps none for that. Uses are recorded by day.
	Recent time.Duration `json:"recent,omitempty"`
	// Generations removes the roots of all generations of profiles but so many of the newest of each profile first; 0 removes none.
	Generations int `json:"generations,omitempty"`
	// Current names roots of generations that stay all the same.
	Current []string `json:"current,omitempty"`
}

// A Collection says what was removed, or would be.
type Collection struct {
	Packages int      `json:"packages"`
	Files    int      `json:"files"`
	Bytes    int64    `json:"bytes"` // room on the disk
	Records  int      `json:"records"`
	Roots    []string `json:"roots"` // of generations
	// Gone are the packages whose content was removed. Their names are known in a dry run only.
	Gone []Found `json:"gone"`
}

// A Why says what keeps an object in the store. Without a Keeper, a collection removes it.
type Why struct {
	Keepers []Keeper `json:"keepers"`
}

// A Keeper is a root, or a lease of work that runs, and how it leads to an object: each package refers to the next one.
type Keeper struct {
	Root  string  `json:"root,omitempty"`
	Lease string  `json:"lease,omitempty"` // what holds it
	Path  []Found `json:"path"`
}

// Sizes say how much room a package takes: bytes of content, each block counted once.
type Sizes struct {
	Own       int64 `json:"own"`       // its tree
	Exclusive int64 `json:"exclusive"` // the part of its tree that no other package and no root has
	Closure   int64 `json:"closure"`   // its tree and those of all packages that it refers to
	Packages  int   `json:"packages"`  // in the closure, itself included
	Missing   int   `json:"missing,omitempty"`
}
