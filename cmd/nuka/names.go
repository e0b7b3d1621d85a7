package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// namesHelp explains what takes the place of PKG in commands that look at packages.
const namesHelp = `PKG is a PID, a CID, the name of an installed package, a package name or file with its flags, or the unique beginning of a PID;
nuka tries them in this order.`

// A thing is what a user's word names.
type thing struct {
	id     string     // a PID, a CID, or a beginning of a PID for the node to complete
	result *nu.Result // nil unless the word names a package that was evaluated
	// unknown is the error for a word that can only be the beginning of a PID, if no PID has it.
	unknown error
}

// named finds what a word names. args are flags of a package: only a package name or file has them.
func (a *app) named(ctx context.Context, word string, args []string) (*thing, error) {
	if len(args) == 0 {
		if id, ok := a.namedWithoutEval(word); ok {
			return &thing{id: id}, nil
		}
	}
	if !isFile(word) {
		if _, err := a.find(word, a.set); protocol.CodeOf(err) == protocol.NotFound {
			unknown := protocol.Errorf(protocol.NotFound, "%.80q is neither an installed package, nor in the package set, nor the first 4 or more characters of a PID", word).
				WithHint("%s", protocol.AsError(err).Hint)
			if p, _ := a.installedPackage(word); p != nil { // and args has flags
				return nil, protocol.Errorf(protocol.Invalid, "%s: %q: an installed package has its flags already", word, args[0]).
					WithHint("to choose others, write the file that it is from: %s", p.Asked)
			}
			if len(args) == 0 && pidBeginning().MatchString(word) {
				return &thing{id: word, unknown: unknown}, nil
			}
			return nil, unknown
		}
	}
	result, err := a.eval(ctx, word, args)
	if err != nil {
		return nil, err
	}
	return &thing{id: result.Root.String(), result: result}, nil
}

// namedWithoutEval finds a PID, a CID or an installed package.
func (a *app) namedWithoutEval(word string) (id string, ok bool) {
	if _, err := pir.ParsePID(word); err == nil {
		return word, true
	}
	if _, err := cid.Parse(word); err == nil {
		return word, true
	}
	if p, _ := a.installedPackage(word); p != nil {
		return p.PID.String(), true
	}
	return "", false
}

// installedPackage returns the package of a name in the default profile, and nil if there is none.
func (a *app) installedPackage(name string) (*profile.Package, *profile.Generation) {
	if a.node != "" {
		return nil, nil
	}
	dir, err := a.profile(profile.Default)
	if err != nil {
		return nil, nil
	}
	g, err := dir.Current()
	if err != nil || g == nil {
		return nil, nil // nuka list says what is wrong with the profile
	}
	if p, ok := g.Packages[name]; ok {
		return &p, g
	}
	return nil, nil
}

// namedCommand changes a command so that its first word names a package or content. With path, a second word is a path in it; flags of the
// package follow.
func (a *app) namedCommand(c *cobra.Command, path bool, run func(c *cobra.Command, t *thing, path string) error) *cobra.Command {
	if c.Long != "" {
		c.Long += "\n\n"
	}
	c.Long += namesHelp
	a.packageFlags(c)
	a.packageCommand(c, func(c *cobra.Command, word string, args, rest []string) error {
		at := ""
		if path && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			at, args = args[0], args[1:]
		}
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") || len(rest) > 0 {
			extra := append(args, rest...)[0]
			return protocol.Errorf(protocol.Invalid, "%s: %q is one argument too many", c.Name(), extra).WithHint("usage: %s", c.UseLine())
		}
		if word == "" { // the command is annotated withoutPackage
			return run(c, nil, at)
		}
		t, err := a.named(c.Context(), word, args)
		if err != nil {
			return err
		}
		err = run(c, t, at)
		if t.unknown != nil && at == "" && protocol.CodeOf(err) == protocol.NotFound {
			return t.unknown
		}
		return err
	})
	c.ValidArgsFunction = func(c *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
		list, directive := a.completePackage(c, before, word)
		if len(before) > 0 || strings.HasPrefix(word, "-") {
			return list, directive
		}
		installed, _ := a.completeInstalled(&profileOptions{name: profile.Default})(c, nil, word)
		list = append(installed, list...)
		return append(list, a.knownPIDs(c.Context(), word)...), directive
	}
	return c
}
