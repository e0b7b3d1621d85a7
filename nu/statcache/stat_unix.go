//go:build unix

package statcache

import (
	"context"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// supported reports that stat on this system gives enough information about a file.
const supported = true

func lstat(name string) (stat, error) {
	var st unix.Stat_t
	err := unix.Lstat(name, &st)
	return statOf(&st), err
}

//nolint:unconvert // the types differ between systems
func statOf(st *unix.Stat_t) stat {
	return stat{
		dev: uint64(st.Dev), ino: uint64(st.Ino), size: int64(st.Size), mode: uint32(st.Mode),
		mtime: unix.TimespecToNsec(st.Mtim), ctime: unix.TimespecToNsec(st.Ctim),
	}
}

// maxPart is how many entries of a folder one goroutine compares at a time.
const maxPart = 4096

// part is a folder and a range of its entries that one goroutine compares.
type part struct {
	dir     *dirRecord
	entries []entryRecord
}

// unchanged reports whether everything below a folder matches the record.
// It opens each folder once and looks its names up there: full paths cost twice as much.
func (r *record) unchanged(ctx context.Context, folder string) bool {
	var parts []part
	for _, d := range r.dirs {
		rest := d.entries
		for len(rest) > maxPart {
			parts = append(parts, part{d, rest[:maxPart]})
			rest = rest[maxPart:]
		}
		parts = append(parts, part{d, rest})
	}
	var next atomic.Int64
	var changed atomic.Bool
	var g errgroup.Group
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			for !changed.Load() {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return nil
				}
				if ctx.Err() != nil || !parts[i].unchanged(folder) {
					changed.Store(true)
				}
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	return !changed.Load()
}

func (p *part) unchanged(folder string) bool {
	dir, err := unix.Open(filepath.Join(folder, p.dir.name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(dir) //nolint:errcheck // nothing was written
	var st unix.Stat_t
	if unix.Fstat(dir, &st) != nil {
		return false
	}
	if now := statOf(&st); !p.dir.stat.same(&now) {
		return false
	}
	for i := range p.entries {
		e := &p.entries[i]
		if e.kind == kindDir {
			continue // a folder is a part of its own
		}
		if unix.Fstatat(dir, e.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			return false
		}
		if now := statOf(&st); !e.stat.same(&now) {
			return false
		}
	}
	return true
}
