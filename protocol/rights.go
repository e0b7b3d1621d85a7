package protocol

import (
	"slices"
	"time"
)

// A Right is a permission of a light peer on another machine.
type Right string

// The rights. None gives access to a node's policy, key, membership or roots.
const (
	RightBuild Right = "build" // have packages realized, and upload sources
	RightGet   Right = "get"   // have content fetched from other nodes
	RightRun   Right = "run"   // read content, to run its programs
	// RightUser is what each user of a machine may do with its system daemon: everything that the other rights allow, and what concerns
	// that user alone. No ticket has it.
	RightUser Right = "user"
)

// userCalls are the calls that RightUser allows beside those of the other rights.
var userCalls = []Op{OpFind, OpFiles, OpStats, OpTrust, OpExplain, OpPeers, OpRoots, OpWhy, OpSize, OpMount}

// Rights returns the rights that a ticket may have.
func Rights() []Right { return []Right{RightBuild, RightGet, RightRun} }

// needs maps each call to the right that it needs. Calls that are not listed are for the node's own user only.
var needs = map[Op]Right{
	OpRealize: RightBuild, OpPlan: RightBuild, OpUpload: RightBuild, OpLog: RightBuild,
	OpGet: RightGet, OpPublished: RightGet,
	OpDescribe: RightRun, OpList: RightRun, OpFolder: RightRun, OpRead: RightRun, OpProgram: RightRun, OpInventory: RightRun,
}

// Allows reports whether the rights suffice for a call. A light peer with any right may request the status; one with the right to build
// may also ask whether the store has a source.
func Allows(may []Right, op Op) bool {
	if op == OpStatus {
		return len(may) > 0
	}
	right, ok := needs[op]
	if slices.Contains(may, RightUser) && (ok || slices.Contains(userCalls, op)) {
		return true
	}
	return ok && (slices.Contains(may, right) || op == OpDescribe && slices.Contains(may, RightBuild))
}

// A Grant is the set of rights of a bearer secret, until it expires.
type Grant struct {
	ID      string    `json:"id"` // derived from the secret, and does not reveal it
	May     []Right   `json:"may"`
	Expires time.Time `json:"expires"`
}

// AttachArgs presents a bearer secret.
type AttachArgs struct {
	Right []byte `json:"right"`
}

// GrantArgs creates a grant (add), revokes one (remove), or lists them.
type GrantArgs struct {
	Action Action        `json:"action,omitempty"`
	May    []Right       `json:"may,omitempty"`
	For    time.Duration `json:"for,omitempty"` // how long the grant is valid, in nanoseconds
	ID     string        `json:"id,omitempty"`  // of the grant to revoke, or a prefix of it
}

// Granted is the ticket of a new grant, and all grants.
type Granted struct {
	Ticket string  `json:"ticket,omitempty"`
	Grants []Grant `json:"grants"`
}
