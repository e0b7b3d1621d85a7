package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// dryRun prints the plan of a package without carrying it out.
func (a *app) dryRun(ctx context.Context, pkg string, args []string) error {
	client, result, err := a.evalConnected(ctx, pkg, args)
	if err != nil {
		return err
	}
	defer client.Close()
	call, packages := a.realizeArgs(result)
	var plan protocol.Plan
	if err := client.Call(ctx, protocol.OpPlan, call, &plan, &control.CallOptions{Data: packages}); err != nil {
		return err
	}
	if a.json {
		return a.terminal.json(plan)
	}
	for _, line := range planText(&plan) {
		fmt.Fprintln(a.out, printable(line))
	}
	switch {
	case len(plan.Steps) == 0:
		fmt.Fprintf(a.out, "nothing to do: the store has %s\n", result.Root)
	case plan.Reused > 0:
		fmt.Fprintf(a.out, "reuse    %d from the store\n", plan.Reused)
	}
	return nil
}

// planText returns the steps of a plan as lines for people.
func planText(p *protocol.Plan) (lines []string) {
	built := map[pir.PID]bool{}
	for _, s := range p.Steps {
		// A fetch has the content that its hash fixes, so early cutoff hardly ever keeps a package that depends on fetches alone.
		changes := s.Maybe && slices.ContainsFunc(s.Needs, func(id pir.PID) bool { return built[id] })
		lines = append(lines, stepText(&s, changes))
		built[s.PID] = s.How == protocol.Make && s.What != pir.Fetch
	}
	return lines
}

func stepText(s *protocol.PlanStep, maybe bool) string {
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
		return line("keep", "because the content of its inputs is unchanged")
	case protocol.Impossible:
		return line("missing", "which has neither a description here nor statements that count")
	}
	unless := ""
	if maybe {
		unless = "unless the content of its inputs stays unchanged"
	}
	return line(s.What.Verb(), unless)
}
