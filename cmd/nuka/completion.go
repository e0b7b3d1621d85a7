package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/MordragT/nuka/protocol"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "nushell", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|nushell|powershell",
		Short: "write completions for a shell",
		Long: `Completion writes a script to standard output that teaches a shell nuka's commands and flags.

  bash        source <(nuka completion bash)
  zsh         nuka completion zsh > "${fpath[1]}/_nuka"
  fish        nuka completion fish > ~/.config/fish/completions/nuka.fish
  nushell     nuka completion nushell | save -f nuka.nu; use nuka.nu *
  powershell  nuka completion powershell | Out-String | Invoke-Expression`,
		Args:      exactArgs("a shell"),
		ValidArgs: shells,
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			case "nushell":
				return nushellCompletion(a.out, root)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.out)
			}
			return protocol.Errorf(protocol.Invalid, "completion: shell %q is unknown", args[0]).WithHint("it is one of %s", strings.Join(shells, ", "))
		},
	}
}

// nushellCompletion writes `export extern` declarations, which Nushell completes and checks.
func nushellCompletion(w io.Writer, c *cobra.Command) error {
	if _, err := fmt.Fprintf(w, "# %s\nexport extern %q [\n", c.Short, c.CommandPath()); err != nil {
		return err
	}
	if c.DisableFlagParsing {
		fmt.Fprintf(w, "  pkg?: string@\"nuka packages\" # a package file or a name of the package set\n  ...args: string # flags of the package, and after -- words for the program\n")
	} else if len(c.Commands()) == 0 {
		fmt.Fprintf(w, "  ...args: string\n")
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		short, kind := "", ""
		if f.Shorthand != "" {
			short = " (-" + f.Shorthand + ")"
		}
		if f.Value.Type() != "bool" {
			kind = ": string"
		}
		_, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(w, "  --%s%s%s # %s\n", f.Name, short, kind, text)
	})
	fmt.Fprint(w, "]\n\n")
	if !c.HasParent() {
		fmt.Fprintf(w, "def \"nuka packages\" [] { [%s] }\n\n", strings.Join(setNames(), " "))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			if err := nushellCompletion(w, sub); err != nil {
				return err
			}
		}
	}
	return nil
}
