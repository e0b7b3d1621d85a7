package nu

import "context"

// A Command is one command that package files may use.
type Command struct {
	Name string `json:"name"`
	// Own says that it is nuka's, not Nushell's.
	Own   bool   `json:"own"`
	Usage string `json:"usage"`
	About string `json:"about"`
	More  string `json:"more"`
	// Category is Nushell's: filters, strings, …; "nuka" for nuka's own.
	Category string `json:"category"`
	// Flags are the parameters and flags, each with its description.
	Flags    [][2]string `json:"flags"`
	Examples []Example   `json:"examples"`
}

// An Example shows what a command is good for.
type Example struct {
	Text   string  `json:"example"`
	About  string  `json:"about"`
	Result *string `json:"result"` // in NUON; nil when it promises none
}

// Commands returns every command that package files may use, sorted by name.
func (e *Engine) Commands(ctx context.Context) ([]Command, error) {
	a, err := e.call(ctx, map[string]any{"op": "commands"}, nil)
	if err != nil {
		return nil, err
	}
	return a.Commands, nil
}

// An Outcome is how an example of a command did when it was run.
type Outcome struct {
	Command string `json:"command"`
	Example string `json:"example"`
	// Status is passed (the promised result), ran (no result is promised), parsed (it needs a build),
	// skipped (it uses a command that is not here), or failed.
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// RunExamples runs the examples of every command and says how they did.
func (e *Engine) RunExamples(ctx context.Context) ([]Outcome, error) {
	a, err := e.call(ctx, map[string]any{"op": "examples"}, func(_ context.Context, _ []byte) []byte {
		return hostAnswer("", nil)
	})
	if err != nil {
		return nil, err
	}
	return a.Examples, nil
}
