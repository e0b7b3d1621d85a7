package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "nushell", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|nushell|powershell",
		Short: "print a completion script for a shell",
		Long: `Completion prints a script with which a shell completes nuka's commands and flags.

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
				return bashCompletion(a.out, root)
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

// bashCompletion writes cobra's script, changed so that it also works if the package bash-completion is not installed.
func bashCompletion(w io.Writer, root *cobra.Command) error {
	var script bytes.Buffer
	if err := root.GenBashCompletionV2(&script, true); err != nil {
		return err
	}
	const words = `    _get_comp_words_by_ref "$@" cur prev words cword`
	const alone = `    if declare -F _get_comp_words_by_ref >/dev/null; then
    ` + words + `
    else # without bash-completion
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    fi`
	if !strings.Contains(script.String(), words) {
		return errors.New("the script for bash is not as it was") // another release of cobra changed it
	}
	_, err := io.WriteString(w, strings.Replace(script.String(), words, alone, 1))
	return err
}

// plainUsage removes the marks of placeholders from the usage texts of flags, because shells show these texts unchanged.
func plainUsage(c *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	c.PersistentFlags().VisitAll(plain)
	c.Flags().VisitAll(plain)
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
}

// paramsOf returns the parameters of a package, or none if its file cannot be read.
func (a *app) paramsOf(pkg string) []nu.Param {
	if pkg == "" {
		return nil
	}
	_, params, err := a.signature(pkg)
	if err != nil {
		return nil
	}
	return params
}

// signature reads the parameters of a package and the comment above them.
func (a *app) signature(pkg string) (string, []nu.Param, error) {
	f, err := a.find(pkg, a.set)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(f.mounts, func(m nu.Mount) bool { return strings.HasPrefix(f.file, m.Path+"/") })
	doc, params, err := nu.Params(f.mounts[i].FS, strings.TrimPrefix(f.file, f.mounts[i].Path+"/"))
	if err != nil {
		return "", nil, protocol.Errorf(protocol.Invalid, "%s: %w", pkg, err)
	}
	return doc, params, nil
}

// nushellCompleter calls nuka with the words before the cursor. If nuka offers nothing, Nushell completes file names.
const nushellCompleter = `def "nuka complete" [context: string] {
  let words = ($context | split row "|" | last | str trim --left | split row --regex '\s+' | skip 1)
  let rows = (^nuka __complete ...$words | complete | get stdout | lines | where {|line| not ($line | str starts-with ":") }
    | each {|line| let word = ($line | split row (char tab)); {value: ($word | first), description: ($word | skip 1 | str join " ")} })
  if ($rows | is-empty) { null } else { $rows }
}

`

// nushellCompletion writes `export extern` declarations, which Nushell completes and checks.
func nushellCompletion(w io.Writer, c *cobra.Command) error {
	if _, err := fmt.Fprintf(w, "# %s\nexport extern %q [\n", c.Short, c.CommandPath()); err != nil {
		return err
	}
	if c.DisableFlagParsing {
		fmt.Fprintf(w, "  pkg?: string@\"nuka complete\" # a package file or a name of the package set\n")
		fmt.Fprintf(w, "  ...args: string@\"nuka complete\" # flags of the package, and after -- words for the program\n")
	} else if len(c.Commands()) == 0 {
		fmt.Fprintf(w, "  ...args: string@\"nuka complete\"\n")
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
		fmt.Fprint(w, nushellCompleter)
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
