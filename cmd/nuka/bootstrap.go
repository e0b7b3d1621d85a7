package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
)

// stageFlag is the flag of a toolchain that is compiled by itself: the stage N is compiled by the stage N-1.
const stageFlag = "--stage"

func (a *app) bootstrapCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "bootstrap",
		Short: "check that a toolchain compiles itself to the same bytes",
	})
	verify := &cobra.Command{
		Use:   "verify PKG [flags of the package]",
		Short: "compile a toolchain by itself, and compare the result with it",
		Long: `A toolchain of the package set has a flag --stage: stage 1 was made by other means, and each further stage was compiled by the one before. Verify makes
stage 2 and stage 3 on this node and compares their contents. If they are the same, stage 2 compiles itself: nothing of what made stage 1 is left in it but what
its source says.

A stage whose inputs have the same content as those of another one is the same build, and is not repeated. With --check, verify repeats the last build.`,
		Example: "  nuka bootstrap verify go",
	}
	check := verify.Flags().Bool("check", false, "build the last stage again, even if that build is known")
	verbose := verify.Flags().BoolP("verbose", "v", false, "print the output of builds")
	cores := verify.Flags().Int("cores", 0, "limit each build to `N` programs at a time")
	a.packageFlags(verify)
	c.AddCommand(a.packageCommand(verify, func(c *cobra.Command, pkg string, args, rest []string) error {
		if len(rest) > 0 {
			return usage("bootstrap verify: %q: no program runs, so nothing takes this argument", rest[0])
		}
		if slices.ContainsFunc(args, func(s string) bool { return s == stageFlag || strings.HasPrefix(s, stageFlag+"=") }) {
			return usage("bootstrap verify: it chooses the stages itself: leave out %s", stageFlag)
		}
		return a.verifyStages(c.Context(), a.preferred(pkg, "toolchain"), args, &buildOptions{check: *check, verbose: *verbose, cores: *cores})
	}))
	return c
}

// stageWays say how a stage got its content.
var stageWays = map[protocol.Way]string{
	protocol.Built:    "built",
	protocol.Present:  "was here",
	protocol.Received: "received",
	protocol.Cutoff:   "the same build as the stage before",
	protocol.Checked:  "built again, with the same content",
}

// verifyStages makes stage 2 and stage 3 of a toolchain, and returns an error unless they have the same content.
func (a *app) verifyStages(ctx context.Context, pkg string, args []string, o *buildOptions) error {
	const first, last = 2, 3
	var all []asked
	for stage := first; stage <= last; stage++ {
		all = append(all, asked{pkg: pkg, args: append(slices.Clone(args), stageFlag, strconv.Itoa(stage)), set: a.set})
	}
	client, results, err := a.evalAll(ctx, all)
	if err != nil {
		return err
	}
	defer client.Close()
	contents := map[int]string{}
	cpu, builtHere := time.Duration(0), false
	for i, result := range results {
		stage := first + i
		used := *o
		used.check = false
		used.event = func(e protocol.Event) { cpu += time.Duration(e.CPU) * time.Millisecond }
		realized, err := a.realize(ctx, client, result, &used)
		if err != nil {
			return err
		}
		way := realized.Outputs[0].Way
		builtHere = way == protocol.Built || builtHere && way == protocol.Cutoff
		if stage == last && (o.check || !builtHere) {
			used.check = true // it has to be seen here
			if realized, err = a.realize(ctx, client, result, &used); err != nil {
				return err
			}
		}
		out := realized.Outputs[0]
		contents[stage] = out.CID
		fmt.Fprintf(a.out, "stage %d %s %s: %s\n", stage, out.PID, out.CID, stageWays[out.Way])
	}
	if contents[first] != contents[last] {
		return protocol.Errorf(protocol.Differs, "%s: stage %d compiles itself to other content", pkg, first).
			WithHint("compare them: nuka ls %s, nuka ls %s", contents[first], contents[last])
	}
	fmt.Fprintf(a.out, "%s: stage %d compiles itself to the same content\n", pkg, first)
	if cpu > 0 {
		fmt.Fprintf(a.out, "processor time of WebAssembly programs: %s\n", cpu.Round(time.Second/10))
	}
	return nil
}
