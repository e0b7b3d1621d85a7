package protocol

import "github.com/MordragT/nuka/pir"

// A How is the way in which a PID gets its content.
type How string

// The ways in which a plan gives content to a PID.
const (
	Reuse      How = "reuse"      // the store has it
	Receive    How = "receive"    // from other nodes, on claims that the policy counts
	Keep       How = "keep"       // early cutoff: a PID with the same resolved PIR has content; of a fetch: the store has the tree with that hash
	Make       How = "make"       // fetch, build, merge or write it, depending on the kind
	Impossible How = "impossible" // this node has no PIR for it, and no claim about it counts
)

// A Plan says how the wanted PIDs will get their content, as far as that is known in advance.
type Plan struct {
	// Steps are the steps to take, each after those that it needs.
	Steps []PlanStep `json:"steps"`
	// Reused counts the PIDs that the plan needs and the store has.
	Reused int `json:"reused"`
}

// A PlanStep is the step for one PID.
type PlanStep struct {
	PID  pir.PID  `json:"pid"`
	Name string   `json:"name,omitempty"` // name and version, for display
	What pir.Kind `json:"what,omitempty"` // the kind of its PIR; "" if that is not known
	How  How      `json:"how"`
	CID  string   `json:"cid,omitempty"`  // the content, if it is known already
	Size int64    `json:"size,omitempty"` // bytes, as signers claim
	// Maybe reports that early cutoff may keep the content: one of the inputs will be made, and may get the same content as before.
	Maybe bool `json:"maybe,omitempty"`
	// Same is the resolved PID whose content early cutoff reuses.
	Same string `json:"same,omitempty"`
	// Needs are the PIDs of earlier steps and of inputs in the store that this step needs.
	Needs []pir.PID `json:"needs,omitempty"`
}
