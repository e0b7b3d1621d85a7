package main

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
	"github.com/MordragT/nuka/source"
)

const (
	// indexTime bounds the evaluation of all packages of a set. Packages that are not evaluated by then are listed without version and commands.
	indexTime = 15 * time.Minute
	// fileTime is how long an index may ask the daemon for the files of packages in the store.
	fileTime = 10 * time.Second
	// manyFiles is the number of files above which the user is told what takes long.
	manyFiles = 500
)

// indexer makes the entries of the packages of one set.
type indexer struct {
	a      *app
	mounts []nu.Mount
	at     string // the mount that has the set
	engine *nu.Engine
}

// entries evaluates all packages of a tree, without flags, and returns an entry for each. A package that cannot be evaluated has an entry that says so.
func (a *app) entries(ctx context.Context, tree fs.FS) ([]set.Entry, error) {
	mounts := []nu.Mount{{Path: addedMount, FS: tree, Library: true}, {Path: setMount, FS: packages.FS, Library: true}}
	return a.entriesAt(ctx, tree, mounts, addedMount)
}

func (a *app) entriesAt(ctx context.Context, tree fs.FS, mounts []nu.Mount, at string) ([]set.Entry, error) {
	engine, err := nu.New(ctx, &nu.Options{CacheDir: a.home.Cache, Kinds: source.Table(), Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	x := &indexer{a, mounts, at, engine}
	var files []string
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == ".git":
			return fs.SkipDir
		case path.Ext(name) == ".nu" && e.Name() != "mod.nu" && !e.IsDir():
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(files) > manyFiles {
		a.say("evaluating %s to make the index", counted(len(files), "file"))
	}
	bounded, cancel := context.WithTimeout(ctx, indexTime)
	defer cancel()
	jobs, running := errgroup.WithContext(bounded)
	jobs.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	var out []set.Entry
	for _, file := range files {
		doc, params, err := nu.Params(tree, file)
		if err == nil && params == nil {
			continue // a module without a package
		}
		jobs.Go(func() error {
			e := x.entry(running, tree, file, doc)
			mu.Lock()
			defer mu.Unlock()
			out = append(out, e)
			return nil
		})
	}
	if err := jobs.Wait(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	slices.SortFunc(out, func(a, b set.Entry) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// entry describes one package.
func (x *indexer) entry(ctx context.Context, tree fs.FS, file, doc string) set.Entry {
	p := strings.TrimSuffix(file, ".nu")
	e := set.Entry{Name: path.Base(p), Path: p, Description: summary(tree, file, doc), Guessed: true}
	if ctx.Err() != nil {
		e.Broken = "the set took too long to evaluate"
		return e
	}
	r, err := x.engine.Eval(ctx, &nu.Request{Sets: x.mounts, File: path.Join(x.at, file)})
	if err != nil {
		e.Broken = oneLine(err)
		return e
	}
	e.PID, e.Version = r.Root, r.Version
	i := slices.IndexFunc(r.Packages, func(p nu.Package) bool { return p.PID == r.Root })
	described, err := pir.Decode(r.Packages[i].Canonical)
	if err != nil {
		e.Broken = err.Error()
		return e
	}
	e.License, _ = described.Policy["license"].(string)
	if text, _ := described.Policy["description"].(string); text != "" {
		e.Description = text
	}
	if e.Commands = described.Commands(); len(e.Commands) > 0 {
		slices.Sort(e.Commands)
		e.Guessed = false
	}
	return e
}

// oneLine returns the first fault of an evaluation.
func oneLine(err error) string {
	var faults *nu.Error
	if errors.As(err, &faults) && len(faults.Diags) > 0 {
		return faults.Diags[0].Msg
	}
	first, _, _ := strings.Cut(protocol.AsError(err).Message, "\n")
	return first
}

// summary returns the description of a package from its comments: the first line of the one above main, else of the one that begins the file.
func summary(tree fs.FS, file, doc string) string {
	first, _, _ := strings.Cut(doc, "\n")
	if first == "" {
		text, _ := fs.ReadFile(tree, file)
		line, _, _ := strings.Cut(string(text), "\n")
		if after, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(after, "!") {
			first = after
		}
	}
	return strings.TrimSpace(strings.TrimLeft(first, "# "))
}

// addFiles adds the commands and files of the packages that the store has. It asks a running daemon and starts none; without a daemon the index is
// complete but for this.
func (a *app) addFiles(ctx context.Context, entries []set.Entry) {
	if a.node != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fileTime)
	defer cancel()
	client, err := a.dial(ctx)
	if err != nil {
		return
	}
	defer client.Close()
	for i := range entries {
		if e := &entries[i]; !e.PID.IsZero() && ctx.Err() == nil {
			addFilesOf(ctx, client, e)
		}
	}
}

func addFilesOf(ctx context.Context, client *control.Client, e *set.Entry) {
	id := e.PID.String()
	var d protocol.Description
	if err := client.Call(ctx, protocol.OpDescribe, protocol.PathArgs{ID: id}, &d, nil); err != nil || d.CID == "" {
		return
	}
	var list []protocol.Entry
	if err := client.Call(ctx, protocol.OpList, protocol.PathArgs{ID: id}, &list, nil); err != nil {
		return
	}
	var commands []string
	for _, f := range list {
		dir, name := path.Split(f.Path)
		switch {
		case f.Kind == protocol.KindDir:
		case dir == "bin/":
			commands = append(commands, name)
		default:
			e.Files = append(e.Files, name)
		}
	}
	if e.Guessed {
		e.Commands, e.Guessed = commands, false
	}
	slices.Sort(e.Files)
	slices.Sort(e.Commands)
	e.Files = slices.Compact(e.Files)
}
