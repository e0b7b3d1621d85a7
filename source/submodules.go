package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/git"
	"github.com/MordragT/nuka/source/kind"
)

const (
	// maxSubmodules bounds the submodules of a fetch, including nested ones. maxSubmoduleDepth bounds how deep they may be nested.
	maxSubmodules     = 1000
	maxSubmoduleDepth = 16
	// maxGitmodules bounds a .gitmodules file.
	maxGitmodules = 1 << 20
	// moduleDir is the folder of a request where a submodule is unpacked before it is moved into place.
	moduleDir = "module"
)

// A checkout makes one tree from a repository and its submodules. The limits of one fetch apply to all repositories together.
type checkout struct {
	f          *Fetcher
	r          *Request
	regs       *Registries
	root       *os.Root // r.Dir
	submodules bool

	left  Limits // the remaining limits
	done  int64  // bytes of packs
	count int    // submodules
}

// repository writes the tree of a revision, with those of its submodules, to the folder at in r.Dir.
func (c *checkout) repository(ctx context.Context, o Origin, at string, depth int) error {
	into, r := at, *c.r
	if depth > 0 {
		into = moduleDir
		r.Notice = func(text string) {
			if c.r.Notice != nil {
				c.r.Notice("in " + strings.TrimPrefix(at, Out+"/") + ": " + text)
			}
		}
	}
	u, err := c.tree(ctx, o, into, &r)
	if err != nil {
		return err
	}
	if into != at { // an empty folder is there
		if err := c.root.Remove(at); err != nil {
			return err
		}
		if err := c.root.Rename(into, at); err != nil {
			return err
		}
	}
	if len(u.Submodules) == 0 {
		return nil
	}
	if !c.submodules {
		return protocol.Errorf(protocol.Invalid, "git: %.200q is a submodule, at commit %s", u.Submodules[0].Path, u.Submodules[0].Commit).
			WithHint("take it with --submodules, which gives another hash, or fetch the release archive with fetch url")
	}
	if depth == maxSubmoduleDepth {
		return protocol.Errorf(protocol.Exhausted, "git: submodules lie in one another more than %d deep", maxSubmoduleDepth)
	}
	modules, err := c.modules(at)
	if err != nil {
		return err
	}
	for _, sub := range u.Submodules {
		if c.count++; c.count > c.f.modules {
			return protocol.Errorf(protocol.Exhausted, "git: more than %d submodules", c.f.modules)
		}
		next, err := submoduleOrigin(o, modules, sub)
		if err == nil {
			err = c.repository(ctx, next, path.Join(at, sub.Path), depth+1)
		}
		if err != nil {
			return fmt.Errorf("submodule %.200q: %w", sub.Path, err)
		}
	}
	return nil
}

// modules reads the file .gitmodules of a tree. As git does, it ignores a link of that name.
func (c *checkout) modules(at string) ([]git.Module, error) {
	name := path.Join(at, ".gitmodules")
	info, err := c.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = protocol.Errorf(protocol.Invalid, "git: .gitmodules is not a plain file").WithHint("the repository is broken or hostile; do not use it")
	}
	if err == nil && info.Size() > maxGitmodules {
		err = protocol.Errorf(protocol.Exhausted, "git: .gitmodules is larger than %d bytes", maxGitmodules)
	}
	if err != nil {
		return nil, err
	}
	file, err := c.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	modules, err := git.ParseModules(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "git: .gitmodules: %v", err).WithHint("the repository is broken or hostile; do not use it")
	}
	return modules, nil
}

// submoduleOrigin returns the origin of a submodule of the repository at o. The rules of redirects apply to addresses in repositories as well:
// from https only to https, and into private networks only from there.
func submoduleOrigin(o Origin, modules []git.Module, sub archive.Submodule) (Origin, error) {
	refuse := func(format string, args ...any) (Origin, error) {
		return Origin{}, protocol.Errorf(protocol.Invalid, format, args...).
			WithHint("fetch the repository without it, such as its release archive, and commit %s of the submodule as a source of its own", sub.Commit)
	}
	i := slices.IndexFunc(modules, func(m git.Module) bool { return m.Path == sub.Path })
	if i < 0 || modules[i].URL == "" {
		return refuse(".gitmodules has no address for it")
	}
	address, err := git.ResolveURL(o.URL, modules[i].URL)
	if err != nil {
		return refuse("%v", err)
	}
	next := Origin{Kind: Git, URL: address, Flags: kind.Fields{"rev": sub.Commit, "submodules": o.Flags["submodules"]}}
	if err := next.check(); err != nil {
		return refuse("%v", err)
	}
	from, err := url.Parse(o.URL)
	if err != nil {
		return refuse("%v", err)
	}
	to, err := url.Parse(address)
	switch {
	case err != nil:
		return refuse("%v", err)
	case from.Scheme == "https" && to.Scheme == "http":
		return refuse("%s leads from https to http", address)
	case isInside(to.Hostname()) && !isInside(from.Hostname()):
		return refuse("%s is an address inside", address)
	}
	return next, nil
}
