package nu

import (
	"context"
	"encoding/json"
)

// A command is one command that package files can use.
type command struct {
	Name string `json:"name"`
	// Own reports that the command is nuka's, not Nushell's.
	Own   bool   `json:"own"`
	Usage string `json:"usage"`
	About string `json:"about"`
	More  string `json:"more"`
	// Category is Nushell's category: filters, strings, …; for nuka's own commands "nuka".
	Category string `json:"category"`
	// Flags are the parameters and flags, each with its description.
	Flags    [][2]string `json:"flags"`
	Examples []Example   `json:"examples"`
}

// An Example is one example in a command's help.
type Example struct {
	Text   string  `json:"example"`
	About  string  `json:"about"`
	Result *string `json:"result"` // in NUON; nil if the example promises none
}

// allCommands returns every command that package files can use, sorted by name.
func allCommands(ctx context.Context, e *Engine) ([]command, error) {
	a, err := e.call(ctx, map[string]any{"op": "commands"}, nil)
	if err != nil {
		return nil, err
	}
	var commands []command
	err = json.Unmarshal(a.Commands, &commands)
	return commands, err
}

// An outcome is the outcome of one example.
type outcome struct {
	Command string `json:"command"`
	Example string `json:"example"`
	// Status is passed (it gave the promised result), ran (it promises no result), parsed (it needs a build),
	// skipped (it uses a command that nuka leaves out), or failed.
	Status string `json:"status"`
	Reason string `json:"reason"`
}

// runExamples runs the examples of every command and returns their outcomes.
func runExamples(ctx context.Context, e *Engine) ([]outcome, error) {
	a, err := e.call(ctx, map[string]any{"op": "examples"}, func(_ context.Context, _ []byte) []byte {
		return hostAnswer("", nil)
	})
	if err != nil {
		return nil, err
	}
	var outcomes []outcome
	err = json.Unmarshal(a.Examples, &outcomes)
	return outcomes, err
}
