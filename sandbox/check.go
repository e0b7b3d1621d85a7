package sandbox

// A Finding is one line about what a machine offers to sandboxes.
type Finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"` // what to do if it is not OK
}
