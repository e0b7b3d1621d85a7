package main

import (
	"context"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// completionTime is how long a completion may wait for the daemon. The shell is blocked for that time at each TAB.
const completionTime = 200 * time.Millisecond

// completePackage completes the words of a command that takes PKG and the flags of the package.
func (a *app) completePackage(c *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
	if slices.Contains(before, "--") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	pkg := ""
	for i := 0; i < len(before); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(before[i], "-"), "=")
		flag := c.Flags().Lookup(name)
		switch {
		case !strings.HasPrefix(before[i], "-"):
			if pkg == "" {
				pkg = before[i]
			}
			continue
		case flag != nil && flag.NoOptDefVal == "" && !hasValue:
			if i++; i == len(before) {
				return nil, cobra.ShellCompDirectiveDefault // the value of a flag
			}
			value = before[i]
		}
		if flag != nil && name == "packages" {
			a.set = value
		}
	}
	switch {
	case strings.HasPrefix(word, "-"): // cobra adds the command's own flags
		var o offers
		for _, p := range a.paramsOf(pkg) {
			if flag, _, _ := strings.Cut(strings.NewReplacer(":", " ", "=", " ").Replace(p.Text), " "); strings.HasPrefix(flag, "--") {
				o.add(word, flag, p.Doc)
			}
		}
		return o, cobra.ShellCompDirectiveNoFileComp
	case pkg != "":
		return nil, cobra.ShellCompDirectiveDefault
	case strings.HasPrefix(word, ".") || strings.HasPrefix(word, "/"):
		return []string{"nu"}, cobra.ShellCompDirectiveFilterFileExt
	}
	list := a.setPackages(word)
	if c.Name() == "share" && pidBeginning().MatchString(word) {
		list = append(list, a.knownPIDs(c.Context(), word)...)
	}
	if len(list) == 0 && strings.Contains(word, "/") {
		return []string{"nu"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return list, cobra.ShellCompDirectiveDefault
}

// offers is a list of completions.
type offers []string

// add adds a completion if it begins with the word before the cursor. The text is for people and has no markup.
func (o *offers) add(word, name, text string) {
	if strings.HasPrefix(name, word) {
		*o = append(*o, cobra.CompletionWithDesc(name, printable(strings.NewReplacer("\n", " ", "\t", " ", "`", "").Replace(text))))
	}
}

// setPackages offers the packages of the sets: those that users run by name, and all packages of a folder or set if the word names it.
func (a *app) setPackages(word string) offers {
	if a.set != "" {
		return folderPackages(a.set, word)
	}
	list, _ := a.indexes()
	var o offers
	for _, s := range list {
		name, prefix := word, ""
		if first, rest, qualified := strings.Cut(word, "/"); qualified && first == s.name {
			name, prefix = rest, s.name+"/"
		}
		dir, base := path.Split(name)
		entries, _ := s.index.Prefixed(base, maxOffers)
		for _, e := range entries {
			in := path.Dir(e.Path)
			switch {
			case dir == "" && (in == "." || in == "app"):
				o.add(word, prefix+e.Name, e.Description)
			case in+"/" == dir:
				o.add(word, prefix+e.Path, e.Description)
			}
		}
	}
	return o
}

// maxOffers bounds the packages of one set that a completion looks at.
const maxOffers = 500

// folderPackages offers the packages of the set in a folder, which has no index.
func folderPackages(dir, word string) offers {
	library, _, err := setFS(dir)
	if err != nil {
		return nil
	}
	var o offers
	for _, pattern := range []string{"*.nu", "app/*.nu", "*/*.nu"} {
		files, _ := fs.Glob(library, pattern)
		for _, f := range files {
			name := strings.TrimSuffix(f, ".nu")
			if pattern != "*/*.nu" {
				name = path.Base(name)
			} else if !strings.Contains(word, "/") {
				continue
			}
			if strings.HasPrefix(name, word) {
				o.add(word, name, summary(library, f, ""))
			}
		}
	}
	return o
}

// ask calls the daemon if one runs. It never starts one.
func (a *app) ask(ctx context.Context, op protocol.Op, args, result any) error {
	if a.node != "" {
		return control.ErrNoDaemon // the node is on another machine, which may be slow
	}
	if _, err := os.Stat(a.home.UserKey()); err != nil {
		return control.ErrNoDaemon // no command has been run with this home
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	client, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Call(ctx, op, args, result, nil)
}

// pidBeginning matches a word that may be the beginning of a PID.
var pidBeginning = lazyregexp.New(`^[a-z2-7]{4,}$`)

// knownPIDs offers PIDs that have content.
func (a *app) knownPIDs(ctx context.Context, word string) offers {
	var found []protocol.Found
	if err := a.ask(ctx, protocol.OpFind, protocol.PathArgs{ID: word}, &found); err != nil {
		return nil
	}
	var o offers
	for _, f := range found {
		text := f.Name
		if text == "" {
			text = "a source"
		}
		o.add(word, f.PID.String(), text)
	}
	return o
}

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeWords makes a completion from one function for each argument position. It offers nothing at later positions.
func completeWords(places ...func(c *cobra.Command, before []string, word string) offers) completion {
	return func(c *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(before) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return places[len(before)](c, before, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// offerSigners offers the keys of the policy.
func (a *app) offerSigners(c *cobra.Command, _ []string, word string) offers {
	var t protocol.Trust
	if err := a.ask(c.Context(), protocol.OpTrust, protocol.TrustArgs{}, &t); err != nil {
		return nil
	}
	var o offers
	seen := map[protocol.Key]bool{}
	for _, r := range t.Rules {
		for _, s := range r.Signers {
			if !seen[s.Key] {
				o.add(word, s.Key.String(), strings.TrimSpace(s.Label+" for "+r.Names))
			}
			seen[s.Key] = true
		}
	}
	return o
}

func (a *app) meshesFor(c *cobra.Command, name string) []protocol.MeshStatus {
	var m protocol.Meshes
	if err := a.ask(c.Context(), protocol.OpMesh, protocol.MeshArgs{Name: name}, &m); err != nil {
		return nil
	}
	return m.Meshes
}

// offerMeshes offers the meshes that the node is in.
func (a *app) offerMeshes(c *cobra.Command, _ []string, word string) offers {
	var o offers
	for _, m := range a.meshesFor(c, "") {
		o.add(word, m.Name, "")
	}
	return o
}

// offerMembers offers the members that revoke accepts: by name if the name is unique, else by key.
func (a *app) offerMembers(c *cobra.Command, before []string, word string) offers {
	var o offers
	for _, m := range a.meshesFor(c, before[0]) {
		for _, member := range m.Members {
			name := m.Names[member.Key]
			_, _, err := findMember(&m, name)
			if err == nil {
				o.add(word, name, member.Key.String())
			}
			if err != nil || word != "" {
				o.add(word, member.Key.String(), name)
			}
		}
		for _, offer := range m.Offers {
			if _, _, err := findMember(&m, offer.For); err == nil {
				o.add(word, offer.For, "an invitation")
			}
		}
	}
	return o
}
