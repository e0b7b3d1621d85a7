package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/archive"
)

// A lintFinding is one thing that lint found: a mistake, or what an author should look at.
type lintFinding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"` // error or warning
	nu.Diag
}

const (
	lintError   = "error"
	lintWarning = "warning"
	// maxObstacles bounds the names of a folder that lint reports.
	maxObstacles = 100
)

// The rules of lint, and what each is about.
var lintRules = []struct{ rule, about string }{
	{"evaluate", "the file cannot be evaluated: syntax, unknown commands, no main, packages that use each other in a circle"},
	{"unpinned", "a fetch has no hash"},
	{"network", "the build calls a program that needs the network, which builds do not have"},
	{"name", "the package's name is not that of the file"},
	{"names", "a name cannot exist on some systems, or is another one where case is ignored"},
	{"license", "the package has no license"},
	{"description", "the package has no description: neither the field nor a comment"},
	{"unused", "a module or an input is not used"},
	{"no-main", "a file of a set is neither a package nor used by one"},
	{"date", "the build asks for the time, the machine or its user, which differ between builds"},
	{"moving", "a fetch names a branch, whose content will change while the hash stays"},
}

func (a *app) lintCommand() *cobra.Command {
	strict := false
	var rules strings.Builder
	for _, r := range lintRules {
		fmt.Fprintf(&rules, "\n  %-12s %s", r.rule, r.about)
	}
	c := &cobra.Command{
		Use:   "lint FILE|DIR…",
		Short: "check package files as their author",
		Long: `Lint evaluates package files, without network and without building anything, and prints what is wrong or doubtful, each with its place and
what to do. A folder is checked as a package set. Errors give the exit code 2; warnings do not, but with --strict. The rules:
` + rules.String(),
		Example: "  nuka lint ./hello.nu\n  nuka lint ~/packages --strict",
	}
	c.Flags().BoolVar(&strict, "strict", false, "let warnings give the exit code 2, too")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		if len(words) == 0 {
			return protocol.Errorf(protocol.Invalid, "lint: FILE is missing").WithHint("usage: nuka lint FILE|DIR…")
		}
		engine, err := nu.New(c.Context(), &nu.Options{CacheDir: a.home.Cache, Kinds: source.Table(), Timeout: 10 * time.Second})
		if err != nil {
			return err
		}
		defer engine.Close()
		l := &linter{a: a, engine: engine, found: []lintFinding{}}
		for _, word := range words {
			if err := l.lint(c.Context(), word); err != nil {
				return err
			}
		}
		return l.report(strict)
	}
	return c
}

// A linter checks package files.
type linter struct {
	a      *app
	engine *nu.Engine
	found  []lintFinding
	files  int
}

func (l *linter) lint(ctx context.Context, word string) error {
	info, err := os.Stat(word)
	if err != nil {
		return protocol.Errorf(protocol.NotFound, "lint: there is no file or folder %s", word).WithHint("a package file ends in .nu; a set is a folder of them")
	}
	if info.IsDir() {
		return l.folder(ctx, word)
	}
	name := word
	if !isFile(name) {
		name = "./" + name
	}
	f, err := l.a.find(name, l.a.set)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(f.mounts, func(m nu.Mount) bool { return strings.HasPrefix(f.file, m.Path+"/") })
	m := f.mounts[i]
	return l.file(ctx, &linted{mounts: f.mounts, virtual: f.file, tree: m.FS, name: strings.TrimPrefix(f.file, m.Path+"/"), shown: filepath.ToSlash(word)})
}

// folder checks a package set.
func (l *linter) folder(ctx context.Context, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	tree := root.FS()
	var all []string
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == ".git":
			return fs.SkipDir
		case name != ".":
			all = append(all, name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range archive.Obstacles(slices.Values(all), maxObstacles) {
		l.add("names", lintError, nu.Diag{
			File: path.Join(filepath.ToSlash(dir), o.Path), Line: 1, Col: 1, Msg: o.String(), Hint: "rename it: a set is read on every system",
		})
	}
	mounts := []nu.Mount{{Path: addedMount, FS: tree, Host: dir, Library: true}, {Path: setMount, FS: packages.FS, Library: true}}
	used := map[string]bool{}
	var modules []*linted
	for _, name := range all {
		if info, err := fs.Stat(tree, name); path.Ext(name) != ".nu" || err != nil || !info.Mode().IsRegular() {
			continue
		}
		f := &linted{mounts: mounts, virtual: path.Join(addedMount, name), tree: tree, name: name, shown: path.Join(filepath.ToSlash(dir), name)}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		for _, u := range usesOf(string(text)) {
			used[u.module] = true
		}
		if _, params, err := nu.Params(tree, name); err == nil && params == nil {
			modules = append(modules, f)
			l.text(f, string(text))
			continue
		}
		if err := l.file(ctx, f); err != nil {
			return err
		}
	}
	for _, m := range modules {
		l.files++
		if stem := strings.TrimSuffix(path.Base(m.name), ".nu"); !used[stem] && stem != "mod" {
			l.add("no-main", lintWarning, nu.Diag{
				File: m.shown, Line: 1, Col: 1, Msg: "the file has no `export def main`, and no file of the set uses it",
				Hint: "write: export def main [] { derivation { … } }; or remove the file",
			})
		}
	}
	return nil
}

// A linted is a package file to check.
type linted struct {
	mounts  []nu.Mount
	virtual string // its path in the evaluation
	tree    fs.FS
	name    string // its path in tree
	shown   string // its path for people
}

// file checks one package file: its text, then what its evaluation gives.
func (l *linter) file(ctx context.Context, f *linted) error {
	l.files++
	text, err := fs.ReadFile(f.tree, f.name)
	if err != nil {
		return protocol.Errorf(protocol.NotFound, "lint: %w", err)
	}
	l.text(f, string(text))
	unpinned := false
	missing := func(context.Context, *nu.Missing) (pir.Hash, error) {
		unpinned = true
		return pir.Hash{}, errors.New("lint uses no network; nuka eval prints the hash")
	}
	r, err := l.engine.Eval(ctx, &nu.Request{Sets: f.mounts, File: f.virtual, MissingHash: missing})
	var faults *nu.Error
	switch {
	case errors.As(err, &faults) && ctx.Err() == nil:
		for _, d := range faults.Diags {
			rule := "evaluate"
			if unpinned {
				rule = "unpinned"
			}
			l.add(rule, lintError, d)
		}
		return nil
	case err != nil:
		return err
	}
	return l.result(f, string(text), r)
}

func (l *linter) add(rule, severity string, d nu.Diag) {
	same := func(o lintFinding) bool {
		return o.Rule == rule && o.File == d.File && o.Line == d.Line && o.Col == d.Col && o.Msg == d.Msg
	}
	if !slices.ContainsFunc(l.found, same) { // two packages may have one mistake in a module
		l.found = append(l.found, lintFinding{rule, severity, d})
	}
}

// report prints the findings by place.
func (l *linter) report(strict bool) error {
	slices.SortStableFunc(l.found, func(a, b lintFinding) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		return a.Line - b.Line
	})
	errs := 0
	for _, f := range l.found {
		if f.Severity == lintError || strict {
			errs++
		}
	}
	if l.a.json {
		if err := l.a.terminal.json(l.found); err != nil {
			return err
		}
	} else {
		for _, f := range l.found {
			d := f.Diag
			d.Msg = fmt.Sprintf("%s: %s [%s]", f.Severity, d.Msg, f.Rule)
			fmt.Fprintln(l.a.out, printable(d.String()))
		}
		l.a.say("checked %s: %s", counted(l.files, "file"), counted(len(l.found), "finding"))
	}
	if errs > 0 {
		return exitError(exitCodes[protocol.Invalid])
	}
	return nil
}
