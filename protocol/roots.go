package protocol

import (
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
)

// The calls of control that concern what a store keeps.
const (
	OpRoots Op = "roots" // RootsArgs → []Root
)

// The beginnings of the names of roots that the node's user may put and remove. Names are paths; other beginnings are the daemon's own marks.
const (
	RootUser    = "user/"    // of nuka root add
	RootProfile = "profile/" // generations of profiles: profile/NAME/NUMBER
	RootGot     = "got/"     // content that was got by its CID; the user removes it and does not put it
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
	for _, prefix := range []string{RootUser, RootProfile, RootGot} {
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
