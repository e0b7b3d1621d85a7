package protocol

import (
	"slices"
	"time"
)

// A Right is what a light peer that is not of this machine may do.
type Right string

// The rights. No right reaches the policy, the key, the membership or the roots of a node.
const (
	RightBuild Right = "build" // have packages realized, and hand over sources
	RightGet   Right = "get"   // have content fetched from other nodes
	RightRun   Right = "run"   // read content, to run its programs
)

// Rights are all of them.
func Rights() []Right { return []Right{RightBuild, RightGet, RightRun} }

// needs says which right each call takes; a call that is not here is for the node's own user only.
var needs = map[Op]Right{
	OpRealize: RightBuild, OpPlan: RightBuild, OpUpload: RightBuild, OpLog: RightBuild,
	OpGet:      RightGet,
	OpDescribe: RightRun, OpList: RightRun, OpFolder: RightRun, OpRead: RightRun, OpProgram: RightRun,
}

// Allows reports whether rights suffice for a call. Who may do anything may ask for the status and, to build,
// whether a source is here.
func Allows(may []Right, op Op) bool {
	if op == OpStatus {
		return len(may) > 0
	}
	right, ok := needs[op]
	return ok && (slices.Contains(may, right) || op == OpDescribe && slices.Contains(may, RightBuild))
}

// A Grant is what whoever shows a bearer secret may do, until it expires.
type Grant struct {
	ID      string    `json:"id"` // derived from the secret, which it does not tell
	May     []Right   `json:"may"`
	Expires time.Time `json:"expires"`
}

// AttachArgs shows a bearer secret.
type AttachArgs struct {
	Right []byte `json:"right"`
}

// GrantArgs makes a grant (add), takes one back (remove), or lists them.
type GrantArgs struct {
	Action Action        `json:"action,omitempty"`
	May    []Right       `json:"may,omitempty"`
	For    time.Duration `json:"for,omitempty"` // how long it holds, in nanoseconds
	ID     string        `json:"id,omitempty"`  // of the grant to take back, or its beginning
}

// Granted is the ticket of a new grant, and all grants.
type Granted struct {
	Ticket string  `json:"ticket,omitempty"`
	Grants []Grant `json:"grants"`
}
