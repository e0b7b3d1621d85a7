package main

import (
	"context"
	"fmt"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// dryRun prints how a package would be had.
func (a *app) dryRun(ctx context.Context, pkg string, args []string) error {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return err
	}
	defer client.Close()
	var plan protocol.Plan
	if err := client.Call(ctx, protocol.OpPlan, a.realizeArgs(result), &plan, nil); err != nil {
		return err
	}
	if a.json {
		return a.terminal.json(plan)
	}
	for _, s := range plan.Steps {
		fmt.Fprintln(a.out, printable(stepText(&s)))
	}
	switch {
	case len(plan.Steps) == 0:
		fmt.Fprintf(a.out, "nothing is to be done: %s is here\n", result.Root)
	case plan.Reused > 0:
		fmt.Fprintf(a.out, "reuse    %d that are here\n", plan.Reused)
	}
	return nil
}

// stepText is a step of a plan for people.
func stepText(s *protocol.PlanStep) string {
	line := func(verb, more string) string {
		if more != "" {
			more = ", " + more
		}
		return fmt.Sprintf("%-8s %s%s", verb, s.Name, more)
	}
	switch s.How {
	case protocol.Receive:
		return line("receive", "from other nodes, "+size(s.Size))
	case protocol.Keep:
		if s.What == pir.Fetch {
			return line("take", "which is in the store")
		}
		return line("keep", "as its inputs have the content they had")
	case protocol.Impossible:
		return line("lack", "which nobody here has described, and of which nothing counts that was said")
	}
	maybe := ""
	if s.Maybe {
		maybe = "unless its inputs get the content they had"
	}
	return line(map[pir.Kind]string{pir.Fetch: "fetch", pir.Build: "build", pir.Env: "merge", pir.Data: "write"}[s.What], maybe)
}
