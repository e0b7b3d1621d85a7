package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/apt"
)

func (a *app) lockCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "lock [DIR|FILE|PKG] [flags of the package]",
		Short: "record what a package manager asks, or refresh the lock files of a package set",
		Long: `Lock records what the package manager of a language package asks of its registries: PKG is built once with the network, each file is compared with
the hash that its registry promises, and the recording is written beside the package file. Builds use only the recording from then on. Versions that
are younger than the cooldown of the setting ecosystem, 7 days by default, are not taken. Then the files of the package are searched for libraries that neither they nor the runtime have: the
recording pins the Debian packages that have them, and the package is built again with them. If there is a recording, --update records again and prints what changed, before it is written.

With DIR, a package set or a folder in it, lock reads Debian's index through apt's sources, checks its signature with the keys that apt has, chooses
the newest packages that the set asks for, and writes its lock files anew. What a lock file holds is written in ` + apt.RequestFile + ` beside it.
Without a word, lock uses the current folder. Lock refuses lock files that were edited, and an index that goes back in time.
It prints the packages that were added (+), removed (-) and changed (~). Nothing is written unless all lock files can be.`,
		Example: "  nuka lock ./httpie.nu\n  nuka lock ./httpie.nu --update\n  nuka lock ~/packages\n  nuka lock ~/packages --check",
	}
	var o recordOptions
	c.Flags().BoolVar(&o.check, "check", false, "write nothing; the exit code is 8 if something changed")
	c.Flags().BoolVar(&o.update, "update", false, "record again, though there is a recording")
	o.rules.flags(c.Flags(), "")
	c.Flags().StringArrayVar(&o.rules.hosts, "host", nil, "let a package manager that records through the proxy reach `HOST[:PORT]` too, which is no registry and which no index names")
	c.Flags().BoolVar(&o.auto, "auto", false, "if the build lacks programs, headers or libraries, pin their Debian packages in the recording, and try again")
	o.build.flags(c)
	a.yesFlag(c)
	a.packageFlags(c)
	a.jsonFlag(c)
	a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		if len(rest) > 0 {
			return usage("lock: %q: no program runs, so nothing takes this argument", rest[0])
		}
		return a.recordPackage(c, pkg, args, &o)
	})
	record := c.RunE
	c.RunE = func(c *cobra.Command, words []string) error {
		at, ok := lockWord(words)
		if !ok {
			return record(c, words)
		}
		c.DisableFlagParsing = false
		if err := c.ParseFlags(words); errors.Is(err, pflag.ErrHelp) {
			return c.Help()
		} else if err != nil {
			return usage("lock: %v", err)
		}
		if len(c.Flags().Args()) > 1 {
			return usage("lock: %q: one folder at a time", c.Flags().Args()[1])
		}
		return a.lockFolder(c.Context(), at, o.check)
	}
	return c
}

// lockWord returns the folder whose lock files are to be refreshed. ok is false if the words name a package.
func lockWord(words []string) (at string, ok bool) {
	i := slices.IndexFunc(words, func(w string) bool { return !strings.HasPrefix(w, "-") })
	if i < 0 {
		return ".", true
	}
	info, err := os.Stat(words[i])
	if err == nil && (info.IsDir() || filepath.Base(words[i]) == apt.RequestFile || hasLockHead(words[i])) {
		return words[i], true
	}
	return "", false
}

// lockFolder makes the lock files at or below a path anew.
func (a *app) lockFolder(ctx context.Context, at string, check bool) error {
	folders, err := lockFolders(at)
	if err != nil {
		return err
	}
	l := &locker{a: a, client: a.client(), loader: a.aptLoader(), check: check}
	var all []*lockFile
	for _, dir := range folders {
		files, err := l.folder(ctx, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", shorter(dir), err)
		}
		all = append(all, files...)
	}
	if !check {
		for _, file := range all {
			if err := file.write(); err != nil {
				return err
			}
		}
	}
	return a.showLocks(all, check)
}

// aptLoader returns the reader of Debian's signed index. It keeps what it downloads in the user's cache.
func (a *app) aptLoader() *apt.Loader {
	f := source.New(&source.Options{Client: a.client(), Offline: a.offline})
	return f.AptLoader(filepath.Join(a.home.Cache, "apt"), filepath.Join(a.home.Data, "apt-dates"))
}

// lockFolders returns the folders at or below a path that have a request or a lock file.
func lockFolders(at string) ([]string, error) {
	at, err := filepath.Abs(at)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(at); err != nil {
		return nil, protocol.Errorf(protocol.NotFound, "lock: there is no file or folder %s", shorter(at)).WithHint("give the folder of a package set")
	} else if !info.IsDir() {
		at = filepath.Dir(at)
	}
	found := map[string]bool{}
	err = filepath.WalkDir(at, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && name != at && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case e.Name() == apt.RequestFile && e.Type().IsRegular():
			found[filepath.Dir(name)] = true
		case strings.HasSuffix(name, ".nu") && e.Type().IsRegular() && hasLockHead(name):
			found[filepath.Dir(name)] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, protocol.Errorf(protocol.NotFound, "lock: %s has no lock file and no %s", shorter(at), apt.RequestFile).
			WithHint("write %s: {suites: [trixie trixie-updates trixie-security], archs: [amd64], roots: {base: [libc6]}}", apt.RequestFile)
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// hasLockHead reports whether a file begins as a lock file does.
func hasLockHead(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	return apt.IsLock(head[:n])
}

// A locker makes lock files.
type locker struct {
	a      *app
	client *source.Client
	loader *apt.Loader
	check  bool
}

// A lockFile is a lock file before and after.
type lockFile struct {
	path          string
	before, after *apt.Lock // before is nil for a new file
	text          []byte    // of the file before
	sonames       []byte    // the table of libraries; nil leaves it as it is
}

// sonamesPath is the file of the table of libraries beside the lock file.
func (f *lockFile) sonamesPath() string {
	return filepath.Join(filepath.Dir(f.path), "soname-"+strings.TrimSuffix(filepath.Base(f.path), ".nu")+".gz")
}

// folder makes the lock files of one folder anew, and writes nothing.
func (l *locker) folder(ctx context.Context, dir string) ([]*lockFile, error) {
	files, r, err := readLocks(dir)
	if err != nil {
		return nil, err
	}
	suites, err := l.client.DebianSuites(r.Suites)
	if err != nil {
		return nil, err
	}
	var releases []*apt.Signed
	for _, s := range suites {
		release, err := l.loader.Release(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if file.before == nil {
				continue
			}
			if err := release.NotOlder(file.before.Date(s.Name)); err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(file.path), err)
			}
		}
		releases = append(releases, release)
	}
	jobs, running := errgroup.WithContext(ctx)
	for _, file := range files {
		arch := strings.TrimSuffix(filepath.Base(file.path), ".nu")
		jobs.Go(func() error {
			x, err := l.loader.Index(running, releases, r.Components, arch)
			if err == nil {
				file.after, err = r.Lock(x)
			}
			if err == nil && r.Sonames && !l.check && !l.a.offline {
				l.sonames(running, file, releases, r, x)
			}
			return err
		})
	}
	return files, jobs.Wait()
}

// sonames makes the table of libraries of a lock file. If it cannot, it says so and leaves the table as it is: archives often lack a contents file that fits.
func (l *locker) sonames(ctx context.Context, file *lockFile, releases []*apt.Signed, r *apt.Request, x *apt.Index) {
	var have *apt.Sonames
	if text, err := os.ReadFile(file.sonamesPath()); err == nil {
		have, _ = apt.DecodeSonames(text) // a damaged one is made again
	}
	s, err := l.loader.Sonames(ctx, releases, r.Components, x, r.Prefer, have)
	switch {
	case err != nil:
		l.a.say("%s stays as it is: %s", shorter(file.sonamesPath()), oneLine(err))
	case s != have:
		file.sonames = s.Encode()
	}
}

// readLocks reads the request and the lock files of a folder. Without a request, each lock file is made anew for its own roots.
func readLocks(dir string) ([]*lockFile, *apt.Request, error) {
	var r *apt.Request
	text, err := os.ReadFile(filepath.Join(dir, apt.RequestFile))
	switch {
	case err == nil:
		if r, err = apt.ParseRequest(text); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", apt.RequestFile, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	locks := map[string]*lockFile{}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(path, ".nu") || !e.Type().IsRegular() || !hasLockHead(path) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		before, err := apt.DecodeLock(text)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if e.Name() != before.Arch+".nu" {
			return nil, nil, protocol.Errorf(protocol.Invalid, "%s: it is the lock file for %s", e.Name(), before.Arch).WithHint("call it %s.nu", before.Arch)
		}
		locks[before.Arch] = &lockFile{path: path, before: before, text: text}
		if r == nil {
			r = before.Request()
		} else if _, err := os.Stat(filepath.Join(dir, apt.RequestFile)); err != nil && !slices.Contains(r.Archs, before.Arch) {
			r.Archs = append(r.Archs, before.Arch)
		}
	}
	var out []*lockFile
	for _, arch := range r.Archs {
		file := locks[arch]
		if file == nil {
			file = &lockFile{path: filepath.Join(dir, arch+".nu")}
		}
		out = append(out, file)
	}
	return out, r, nil
}

// write replaces the file.
func (f *lockFile) write() error {
	if f.sonames != nil {
		if err := writeShared(f.sonamesPath(), nil, f.sonames); err != nil {
			return err
		}
	}
	return writeShared(f.path, f.text, f.after.Encode())
}

// writeShared replaces a file that others may read, unless it has the new content already.
func writeShared(path string, before, after []byte) error {
	if bytes.Equal(before, after) {
		return nil
	}
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	if err := atomicfile.Write(path, after); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// lockReport is the JSON form of what a lock file's refresh changed.
type lockReport struct {
	File     string       `json:"file"`
	Arch     string       `json:"arch"`
	Packages int          `json:"packages"`
	Changes  []apt.Change `json:"changes"`
}

// showLocks prints what changed. With check, a change gives the exit code of Differs.
func (a *app) showLocks(files []*lockFile, check bool) error {
	reports := []lockReport{}
	changed := false
	for _, f := range files {
		r := lockReport{shorter(f.path), f.after.Arch, len(f.after.Packages), append([]apt.Change{}, apt.Changes(f.before, f.after)...)}
		changed = changed || len(r.Changes) > 0
		reports = append(reports, r)
	}
	switch {
	case a.json:
		if err := a.terminal.json(reports); err != nil {
			return err
		}
	default:
		for _, r := range reports {
			fmt.Fprintf(a.out, "%s: %s, %d changed\n", printable(r.File), counted(r.Packages, "package"), len(r.Changes))
			for _, c := range r.Changes {
				switch {
				case c.Old == "":
					fmt.Fprintf(a.out, "+ %s %s\n", c.Name, c.New)
				case c.New == "":
					fmt.Fprintf(a.out, "- %s %s\n", c.Name, c.Old)
				default:
					fmt.Fprintf(a.out, "~ %s %s -> %s\n", c.Name, c.Old, c.New)
				}
			}
		}
	}
	if check && changed {
		return exitError(exitCodes[protocol.Differs])
	}
	return nil
}
