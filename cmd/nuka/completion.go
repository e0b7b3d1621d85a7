package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
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

// bashCompletion writes cobra's script, and makes it work where bash has no bash-completion.
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
		return errors.New("the script for bash is not as it was") // of another release of cobra
	}
	_, err := io.WriteString(w, strings.Replace(script.String(), words, alone, 1))
	return err
}

// plainUsage takes the marks of placeholders out of the texts of flags: shells show the texts as they are.
func plainUsage(c *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	c.PersistentFlags().VisitAll(plain)
	c.Flags().VisitAll(plain)
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
}

// completePackage completes the words of a command that takes PKG and the flags of the package.
func (a *app) completePackage(c *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
	if slices.Contains(before, "--") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	pkg := ""
	for i := 0; i < len(before); i++ {
		name, _, hasValue := strings.Cut(strings.TrimLeft(before[i], "-"), "=")
		flag := c.Flags().Lookup(name)
		switch {
		case !strings.HasPrefix(before[i], "-"):
			if pkg == "" {
				pkg = before[i]
			}
		case flag != nil && flag.NoOptDefVal == "" && !hasValue:
			if i++; i == len(before) {
				return nil, cobra.ShellCompDirectiveDefault // the value of a flag
			}
			if name == "packages" {
				a.set = before[i]
			}
		}
	}
	var list []string
	add := func(name, text string) {
		if strings.HasPrefix(name, word) {
			list = append(list, cobra.CompletionWithDesc(name, strings.ReplaceAll(text, "\n", " ")))
		}
	}
	switch {
	case strings.HasPrefix(word, "-"): // cobra adds the command's own
		for _, p := range a.paramsOf(pkg) {
			if flag, _, _ := strings.Cut(strings.NewReplacer(":", " ", "=", " ").Replace(p.Text), " "); strings.HasPrefix(flag, "--") {
				add(flag, p.Doc)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	case pkg != "":
		return nil, cobra.ShellCompDirectiveDefault
	case strings.HasPrefix(word, ".") || strings.Contains(word, "/"):
		return []string{"nu"}, cobra.ShellCompDirectiveFilterFileExt
	}
	set, _, err := a.setFS()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for _, pattern := range []string{"*.nu", "app/*.nu"} {
		files, _ := fs.Glob(set, pattern)
		for _, f := range files {
			text, _ := fs.ReadFile(set, f)
			first, _, _ := strings.Cut(string(text), "\n")
			add(strings.TrimSuffix(path.Base(f), ".nu"), strings.TrimLeft(first, "# "))
		}
	}
	return list, cobra.ShellCompDirectiveDefault
}

// paramsOf returns the parameters of a package, if it has a file that can be read.
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
	mounts, file, err := a.find(pkg)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(mounts, func(m nu.Mount) bool { return strings.HasPrefix(file, m.Path+"/") })
	doc, params, err := nu.Params(mounts[i].FS, strings.TrimPrefix(file, mounts[i].Path+"/"))
	if err != nil {
		return "", nil, protocol.Errorf(protocol.Invalid, "%s: %v", pkg, err)
	}
	return doc, params, nil
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
		fmt.Fprint(w, `def "nuka packages" [] {
  ^nuka __complete build "" | complete | get stdout | lines | where {|line| not ($line | str starts-with ":") }
  | each {|line| let word = ($line | split row (char tab)); {value: ($word | first), description: ($word | skip 1 | str join " ")} }
}

`)
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
