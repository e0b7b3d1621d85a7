package nu

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/MordragT/nuka/nu/gitignore"
)

// PathOptions choose what `fetch path` includes from a folder. The zero value excludes .git folders only.
type PathOptions struct {
	// All includes .git folders.
	All bool `json:",omitempty"`
	// Gitignore excludes the names that git ignores by .gitignore files in the folder and its subfolders, and by .git/info/exclude.
	Gitignore bool `json:",omitempty"`
}

// Sources returns the view of a folder that `fetch path` hashes. It excludes git's repository data, which is no
// source and differs between clones, and sockets, pipes and devices, which a package cannot hold. The options exclude more.
// Excluded names are not listed but can be opened.
// Sources caches the patterns of .gitignore files, so each walk of a folder needs a new view.
func Sources(folder fs.FS, o PathOptions) fs.FS {
	return &sources{FS: folder, o: o, levels: map[string]*level{}}
}

type sources struct {
	fs.FS
	o PathOptions

	mu     sync.Mutex
	levels map[string]*level // by folder
}

// A level is the patterns that apply in a folder, and the level above.
type level struct {
	above    *level
	dir      string // names in the patterns are relative to it
	patterns gitignore.Patterns
}

// ignores reports whether git ignores a name in the level's folder. The nearest patterns that match decide.
func (l *level) ignores(name string, isDir bool) bool {
	for ; l != nil; l = l.above {
		rel := name
		if l.dir != "." {
			rel = name[len(l.dir)+1:]
		}
		switch l.patterns.Match(rel, isDir) {
		case gitignore.Ignored:
			return true
		case gitignore.Kept:
			return false
		}
	}
	return false
}

// ReadDir implements fs.ReadDirFS.
func (s *sources) ReadDir(name string) ([]fs.DirEntry, error) {
	list, err := fs.ReadDir(s.FS, name)
	if err != nil {
		return nil, err
	}
	var patterns *level
	if s.o.Gitignore {
		if patterns, err = s.level(name); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(list, func(e fs.DirEntry) bool {
		switch e.Type() {
		case 0, fs.ModeDir, fs.ModeSymlink:
		default:
			return true
		}
		if e.Name() == ".git" {
			return !s.o.All
		}
		return patterns.ignores(path.Join(name, e.Name()), e.IsDir())
	}), nil
}

// level returns the patterns that apply in a folder.
func (s *sources) level(dir string) (*level, error) {
	s.mu.Lock()
	l, ok := s.levels[dir]
	s.mu.Unlock()
	if ok {
		return l, nil
	}
	var err error
	if dir == "." {
		l, err = s.read(nil, dir, ".git/info/exclude")
	} else {
		l, err = s.level(path.Dir(dir))
	}
	if err == nil {
		l, err = s.read(l, dir, path.Join(dir, ".gitignore"))
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.levels[dir] = l
	return l, nil
}

// read returns the level of the patterns in a file, for names below dir, or above if there is no such file.
// As git does, it ignores a pattern file that is a link.
func (s *sources) read(above *level, dir, name string) (*level, error) {
	info, err := fs.Lstat(s.FS, name)
	if err != nil || !info.Mode().IsRegular() {
		return above, nil
	}
	file, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(file, gitignore.Max+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > gitignore.Max:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, gitignore.Max)
	}
	if patterns := gitignore.Parse(text); len(patterns) > 0 {
		return &level{above: above, dir: dir, patterns: patterns}, nil
	}
	return above, nil
}

// ReadLink implements fs.ReadLinkFS.
func (s *sources) ReadLink(name string) (string, error) { return fs.ReadLink(s.FS, name) }

// Lstat implements fs.ReadLinkFS.
func (s *sources) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(s.FS, name) }
