package main

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// embeddedIndex returns the index of the set in nuka.
var embeddedIndex = sync.OnceValues(func() (*set.Index, error) {
	entries, err := set.DecodeEntries(packages.Index)
	if err != nil {
		return nil, err
	}
	b, err := set.BuildIndex(entries)
	if err != nil {
		return nil, err
	}
	return set.OpenIndex(b)
})

// An indexed set is a set and its index.
type indexedSet struct {
	name  string
	index *set.Index
}

// indexes returns the indexes of all sets, in order. A set whose index is missing or damaged is left out, and the error is about the first of those.
func (a *app) indexes() (out []indexedSet, wrong error) {
	if a.set != "" {
		return nil, protocol.Errorf(protocol.Unsupported, "the package set in %s has no index", a.set).
			WithHint("unset NUKA_PACKAGES, or add the folder as a set: nuka set add NAME %s", a.set)
	}
	folder, err := a.setFolder()
	if err != nil {
		return nil, err
	}
	list, err := folder.List()
	if err != nil {
		return nil, err
	}
	for i := range list {
		x, err := folder.Index(&list[i])
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		out = append(out, indexedSet{list[i].Name, x})
	}
	x, err := embeddedIndex()
	if err != nil {
		return nil, err
	}
	return append(out, indexedSet{set.Embedded, x}), wrong
}

// foundPackage is the JSON form of a package that search or info found.
type foundPackage struct {
	Set         string   `json:"set"`
	Package     string   `json:"package"` // the name that always means it
	Name        string   `json:"name"`
	Version     string   `json:"version,omitempty"`
	Description string   `json:"description,omitempty"`
	License     string   `json:"license,omitempty"`
	Commands    []string `json:"commands,omitempty"`
	Files       []string `json:"files,omitempty"`
	PID         string   `json:"pid,omitempty"`
	Broken      string   `json:"broken,omitempty"`
}

func foundOf(name string, e *set.Entry) foundPackage {
	out := foundPackage{
		Set: name, Package: path.Join(name, e.Path), Name: e.Name, Version: e.Version, Description: e.Description, License: e.License,
		Commands: e.Commands, Files: e.Files, Broken: e.Broken,
	}
	if e.PID != (pir.PID{}) {
		out.PID = e.PID.String()
	}
	return out
}

func (a *app) searchCommand() *cobra.Command {
	command, most := false, 0
	c := &cobra.Command{
		Use:   "search WORD…",
		Short: "search the package sets",
		Long: `Search prints the packages to which all words lead, best first: by their name, the beginning of the name, a word of the description, a command,
a file. It reads the indexes of the sets, which nuka set update makes, and evaluates nothing.`,
		Example: "  nuka search lua\n  nuka search compress zip\n  nuka search --command luac",
	}
	c.Flags().BoolVar(&command, "command", false, "print what has a command of exactly this name; print nothing and exit with 3 if no package has it")
	c.Flags().IntVarP(&most, "max", "n", 30, "print at most `N` packages")
	a.jsonFlag(c)
	c.RunE = func(_ *cobra.Command, words []string) error {
		if len(words) == 0 || command && len(words) != 1 {
			return protocol.Errorf(protocol.Invalid, "search: want words, and with --command one name").WithHint("usage: nuka search WORD…; nuka search --command NAME")
		}
		if command {
			return a.searchForCommand(words[0])
		}
		return a.search(words, most)
	}
	return c
}

func (a *app) search(words []string, most int) error {
	list, wrong := a.indexes()
	if list == nil {
		return wrong
	}
	if wrong != nil {
		a.say("not searched: %s", wrong)
	}
	var hits []set.Hit
	in := map[*set.Entry]string{}
	for _, s := range list {
		more, err := s.index.Search(words)
		if err != nil {
			return protocol.Errorf(protocol.Damaged, "the index of the set %s: %w", s.name, err).WithHint("make it again: nuka set update %s", s.name)
		}
		for _, h := range more {
			in[h.Entry] = s.name
		}
		hits = append(hits, more...)
	}
	set.SortHits(hits)
	if len(hits) == 0 {
		if a.json {
			return a.terminal.json([]foundPackage{})
		}
		return protocol.Errorf(protocol.NotFound, "no package has %s", strings.Join(words, " ")).
			WithHint("use fewer words, or their beginnings; get the newest sets: nuka set update")
	}
	shown := hits[:min(len(hits), max(1, most))]
	if a.json {
		out := make([]foundPackage, len(shown))
		for i, h := range shown {
			out[i] = foundOf(in[h.Entry], h.Entry)
		}
		return a.terminal.json(out)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, h := range shown {
		e := h.Entry
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(path.Join(in[e], e.Path)), printable(e.Version), printable(e.Description))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := len(hits) - len(shown); more > 0 {
		a.say("%s more: use more words, or --max", counted(more, "package"))
	}
	return nil
}

// searchForCommand is for the hooks of shells: it prints a line for people, or nothing, and never waits for anything but files.
func (a *app) searchForCommand(command string) error {
	list, _ := a.indexes()
	var out []foundPackage
	for _, s := range list {
		entries, _ := s.index.Command(command)
		for _, e := range entries {
			out = append(out, foundOf(s.name, e))
		}
	}
	if a.json {
		if out == nil {
			out = []foundPackage{}
		}
		return a.terminal.json(out)
	}
	if len(out) == 0 {
		return exitError(exitCodes[protocol.NotFound])
	}
	for _, p := range out[:min(len(out), 5)] {
		fmt.Fprintln(a.out, printable(fmt.Sprintf("%s has %s: nuka install %s, or once: nuka shell %s", p.Package, command, p.Package, p.Package)))
	}
	return nil
}

func (a *app) infoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "info NAME",
		Short: "print what the package sets say about a package",
		Long: `Info prints what the index of a set has about a package: version, description, license, commands, files. It evaluates nothing and needs no daemon;
nuka show describes a package with everything that the node knows.`,
		Example: "  nuka info lua\n  nuka info mine/app/lua",
		Args:    exactArgs("NAME"),
	}
	a.jsonFlag(c)
	c.ValidArgsFunction = func(_ *cobra.Command, before []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(before) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.setPackages(word), cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(_ *cobra.Command, words []string) error {
		list, wrong := a.indexes()
		if list == nil {
			return wrong
		}
		out, err := findIndexed(list, words[0])
		if err != nil {
			return err
		}
		if len(out) == 0 && wrong != nil {
			return wrong
		}
		if len(out) == 0 {
			return protocol.Errorf(protocol.NotFound, "no package set has a package %q", words[0]).WithHint("search for it: nuka search WORDS")
		}
		if a.json {
			return a.terminal.json(out)
		}
		return a.showInfo(out)
	}
	return c
}

// findIndexed returns the packages that a name means, the one that a command would take first.
func findIndexed(list []indexedSet, name string) ([]foundPackage, error) {
	first, rest, qualified := strings.Cut(name, "/")
	var out []foundPackage
	for _, s := range list {
		want := name
		if qualified && s.name == first {
			want = rest
		}
		entries, err := s.index.Find(path.Base(want))
		if err != nil {
			return nil, protocol.Errorf(protocol.Damaged, "the index of the set %s: %w", s.name, err).WithHint("make it again: nuka set update %s", s.name)
		}
		var of []foundPackage
		for _, e := range entries {
			switch {
			case e.Path == "app/"+want || e.Path == want:
				of = append([]foundPackage{foundOf(s.name, e)}, of...)
			case e.Name == want:
				of = append(of, foundOf(s.name, e))
			}
		}
		if qualified && s.name == first {
			return of, nil
		}
		out = append(out, of...)
	}
	return out, nil
}

// showInfo prints a package, and the names of others that the name could mean.
func (a *app) showInfo(list []foundPackage) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	p := &list[0]
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, printable(text))
		}
	}
	line("package", p.Package)
	line("version", p.Version)
	line("description", p.Description)
	line("license", p.License)
	line("commands", strings.Join(p.Commands, " "))
	line("files", shortList(p.Files, 20))
	line("pid", p.PID)
	line("broken", p.Broken)
	for _, other := range list[1:] {
		line("also", strings.TrimSpace(other.Package+" "+other.Version))
	}
	return w.Flush()
}

func shortList(list []string, most int) string {
	text := strings.Join(list[:min(len(list), most)], " ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
