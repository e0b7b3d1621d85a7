package protocol

import "github.com/MordragT/nuka/pir"

// A How says how a PID gets its content.
type How string

// The ways in which a plan gives content to a PID.
const (
	Reuse      How = "reuse"      // it is here
	Receive    How = "receive"    // from other nodes, by their word
	Keep       How = "keep"       // early cutoff: a PID with the same resolved PIR has content; of a fetch: the store has the tree that its hash names
	Make       How = "make"       // fetch, build, merge or write it, as its kind says
	Impossible How = "impossible" // nobody here has described it, and nothing counts that was said about it
)

// A Plan says how wanted PIDs get their content, as far as that is known before anything is done.
type Plan struct {
	// Steps are what is to be done, each behind those that it needs.
	Steps []PlanStep `json:"steps"`
	// Reused is how many of the PIDs that were looked at are here.
	Reused int `json:"reused"`
}

// A PlanStep is what one PID needs.
type PlanStep struct {
	PID  pir.PID  `json:"pid"`
	Name string   `json:"name,omitempty"` // name and version, for people
	What pir.Kind `json:"what,omitempty"` // what its PIR is; "" if that is not known
	How  How      `json:"how"`
	CID  string   `json:"cid,omitempty"`  // the content, where it is known already
	Size int64    `json:"size,omitempty"` // bytes, of what others have told of
	// Maybe says that early cutoff may keep it: one of its inputs is made, and may get the content that it had.
	Maybe bool `json:"maybe,omitempty"`
	// Same is the resolved PID whose content keeps it.
	Same string `json:"same,omitempty"`
	// Needs are the steps that come first, and inputs that are here.
	Needs []pir.PID `json:"needs,omitempty"`
}
