package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) trustCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "trust",
		Short: "choose whose builds count",
		Long: `Trust changes the policy: whose statements count for which packages, and how many signers must agree.
The node always accepts its own builds.`,
		Example: "  nuka trust add key-…  --label ann\n  nuka trust add key-… --names 'lib*' --need 2\n  nuka trust why 3lgdxcsu",
	})
	c.AddCommand(a.trustChange(protocol.ActionAdd, "accept statements of a key"),
		a.trustChange(protocol.ActionRemove, "no longer accept statements of a key"), a.trustList(), a.trustWhy())
	return c
}

func (a *app) trustChange(action protocol.Action, short string) *cobra.Command {
	args := protocol.TrustArgs{Action: action}
	c := &cobra.Command{
		Use:   string(action) + " KEY",
		Short: short,
		Args:  exactArgs("KEY"),
		RunE: func(c *cobra.Command, words []string) error {
			var err error
			if args.Key, err = protocol.ParseKey(words[0]); err != nil {
				return protocol.Errorf(protocol.Invalid, "%w", err).WithHint("print the key on the other node: nuka key show")
			}
			if action == protocol.ActionRemove {
				if err := a.confirm(c, removeLoss(&args)); err != nil {
					return err
				}
			}
			if c.Flags().Changed("need") && args.Need < 1 {
				return protocol.Errorf(protocol.Invalid, "trust: --need %d: want 1 signer or more", args.Need).
					WithHint("to stop trusting a signer: nuka trust remove KEY")
			}
			if action == protocol.ActionAdd && args.Names == "" {
				if err := a.confirm(c, addMeans(&args)); err != nil {
					return err
				}
			}
			var t protocol.Trust
			if err := a.call(c, protocol.OpTrust, args, &t, nil); err != nil {
				return err
			}
			if action == protocol.ActionAdd && !a.json {
				a.sayAdded(&args, &t)
			}
			return a.showTrust(&t)
		},
	}
	if action == protocol.ActionRemove { // only for removal: completion must not suggest which signers to trust
		c.ValidArgsFunction = completeWords(a.offerSigners)
	}
	a.yesFlag(c)
	c.Flags().StringVar(&args.Names, "names", "", "only for packages whose name matches `PATTERN`, such as 'lib*'")
	c.Flags().StringVar(&args.Platform, "platform", "", "only for the platform `PLATFORM`")
	c.Flags().IntVar(&args.Need, "need", 0, "require `N` signers of the rule to agree")
	if action == protocol.ActionAdd {
		c.Flags().StringVar(&args.Label, "label", "", "call the signer `NAME`")
	}
	a.jsonFlag(c)
	return c
}

// sayAdded reports what trust add has changed.
func (a *app) sayAdded(args *protocol.TrustArgs, t *protocol.Trust) {
	names := cmp.Or(args.Names, "*")
	for _, r := range t.Rules {
		if r.Names != names || r.Platform != args.Platform {
			continue
		}
		a.say("added %s to the rule for %s", strings.TrimSpace(args.Key.String()+" "+args.Label), names)
		if r.Need > len(r.Signers) {
			a.say("no statement counts for %s yet: %d signers must agree, and the rule has %d", names, r.Need, len(r.Signers))
		}
	}
}

// addMeans explains what trust in a key permits when no names are given.
func addMeans(args *protocol.TrustArgs) string {
	return "without --names you trust " + args.Key.String() +
		" for every package: its owner can then replace programs that you run. To trust it for some packages: --names 'lib*'; for all: --names '*'"
}

// removeLoss explains what the removal of a signer takes away.
func removeLoss(args *protocol.TrustArgs) string {
	from := "every rule"
	if args.Names != "" {
		from = "the rule for " + args.Names
	}
	return "this removes " + args.Key.String() + " and its label from " + from + ": packages that no other statement supports no longer count as present"
}

func (a *app) trustList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "list the rules in the order of their use",
		Args:  exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var t protocol.Trust
			if err := a.call(c, protocol.OpTrust, protocol.TrustArgs{}, &t, nil); err != nil {
				return err
			}
			return a.showTrust(&t)
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) showTrust(t *protocol.Trust) error {
	if a.json {
		return a.terminal.json(t)
	}
	if len(t.Rules) == 0 {
		a.say("no signer is trusted: this node builds everything")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, r := range t.Rules {
		platform := ""
		if r.Platform != "" {
			platform = " on " + r.Platform
		}
		agree := fmt.Sprintf("%d of %d must agree", r.Need, len(r.Signers))
		if r.Need > len(r.Signers) {
			agree += ", so no statement counts until you add more"
		}
		fmt.Fprintf(w, "%s%s\t%s\n", printable(r.Names), printable(platform), agree)
		for _, s := range r.Signers {
			note := printable(s.Label)
			if s.Revoked {
				note += " (revoked)"
			}
			if !s.Next.IsZero() {
				note += " (its successor: " + s.Next.String() + ")"
			}
			if !s.Stale.IsZero() {
				note += " (nothing new since it expired " + s.Stale.Format(time.DateOnly) + ")"
			}
			if s.Ahead > protocol.MaxSkew {
				note += " (its clock is " + s.Ahead.String() + " ahead of this one: its new statements do not count)"
			} else if s.Ahead > 0 {
				note += " (its clock is " + s.Ahead.String() + " ahead of this one)"
			}
			if s.Backward != "" {
				note += " (contradicts itself: " + printable(s.Backward) + ")"
			}
			fmt.Fprintf(w, "  %s\t%s\n", s.Key, note)
		}
	}
	if len(t.Resting) > 0 {
		fmt.Fprintln(w, "supported by revoked keys only:")
	}
	for _, r := range t.Resting {
		needed := "no root needs it"
		if len(r.Roots) > 0 {
			needed = "needed by " + strings.Join(r.Roots, ", ")
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", r.PID, printable(r.Name), printable(needed))
	}
	return w.Flush()
}

func (a *app) trustWhy() *cobra.Command {
	c := a.explainCommand()
	c.Use, c.Short, c.GroupID = "why PKG [flags of the package]", "explain which statements decided about a package", ""
	return c
}

func (a *app) explainCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain PKG [flags of the package]",
		Short: "explain why a package was built, fetched or refused",
		Long: `Explain shows which statements decided the content of a package, which statements are missing or do not count and why,
its inputs, the language packages in it, the plan if the store does not have it, and how its description differs from others of the same name and version.`,
	}
	verbose := c.Flags().BoolP("verbose", "v", false, "show all language packages, with their hashes")
	a.jsonFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		client, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		var e protocol.Explanation
		if err := client.Call(c.Context(), protocol.OpExplain, protocol.PathArgs{ID: t.id}, &e, nil); err != nil {
			return err
		}
		parts := a.languages(c.Context(), client, t)
		if a.json {
			return a.terminal.json(struct {
				*protocol.Explanation
				Parts []inventory.Part `json:"parts,omitempty"`
			}{&e, parts})
		}
		return a.showExplanation(&e, parts, *verbose)
	})
}

func (a *app) showExplanation(e *protocol.Explanation, languages []inventory.Part, verbose bool) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintln(w, printable(fmt.Sprintf(format, args...))) }
	if e.Name != "" {
		line("name\t%s", e.Name)
	}
	line("pid\t%s", e.PID)
	if e.CID == "" {
		line("cid\tnot in the store")
	} else {
		line("cid\t%s", e.CID)
		line("way\t%s", e.Way)
	}
	line("why\t%s", e.Why)
	for _, key := range e.Rests {
		line("rests\ton statements of %s, whose key was revoked, and on none that counts", key)
	}
	if e.Missing > 0 {
		line("missing\t%d of %d votes", e.Missing, e.Need)
	}
	for _, v := range e.Votes {
		who := v.Signer.String()
		if v.Label != "" {
			who += " " + v.Label
		}
		verdict := "counts"
		if !v.Counts {
			verdict = "does not count: " + v.Because
		}
		if v.Ahead > 0 {
			verdict += fmt.Sprintf("; its clock is %s ahead of this one", v.Ahead)
		}
		line("vote\t%s\tby %s, %s", v.CID, who, verdict)
	}
	for _, in := range e.Inputs {
		have := in.CID
		if have == "" {
			have = "not in the store"
		}
		line("input\t%s\t%s %s", in.Name, in.PID, have)
	}
	(&page{w}).languages(languages, verbose)
	if e.Resolved != "" {
		have := "not realized"
		if e.ResolvedCID != "" {
			have = e.ResolvedCID
		}
		line("resolved\t%s\t%s", e.Resolved, have)
	}
	if e.Plan != nil {
		for _, step := range planText(e.Plan) {
			line("to do\t%s", step)
		}
	}
	for _, s := range e.Similar {
		line("similar\t%s\tdiffers in %v", s.PID, s.Differ)
	}
	return w.Flush()
}
