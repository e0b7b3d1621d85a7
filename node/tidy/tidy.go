// Package tidy keeps the caches and logs of a home within bounds on their size and on the time since their last use.
package tidy

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

// A bound limits a folder of files that the node can make or fetch again.
type bound struct {
	dir   string
	depth int           // of its entries: 1 means the entries of dir itself
	age   time.Duration // entries unused for this long are removed
	bytes int64         // if the entries are larger, the least recently used are removed
}

const (
	// every is how often Run applies the bounds.
	every = time.Hour
	// spares is the shortest time since the last use of an entry after which it may be removed.
	spares = time.Hour
	// maxDaemonLog bounds the daemon's log in bytes. When the log is larger, its last keptDaemonLog bytes are kept in a file beside it.
	maxDaemonLog, keptDaemonLog = 32 << 20, 4 << 20
	// gone is the prefix of the name of an entry that is being removed.
	gone = ".gone-"

	day = 24 * time.Hour
)

// bounds returns the bounds of a home. docs/operating.md lists them.
func bounds(home protocol.Home) []bound {
	return []bound{
		{home.MachineCode(), 1, 180 * day, 8 << 30},
		{filepath.Join(home.Cache, "code"), 1, 180 * day, 2 << 30},
		{filepath.Join(home.Cache, "eval"), 2, 90 * day, 512 << 20},
		{filepath.Join(home.Cache, "stat"), 1, 90 * day, 512 << 20},
		{home.Results(), 2, 30 * day, 2 << 30},
		{home.PreparedRuns(), 1, 90 * day, 64 << 20},
		{home.Unpacked(), 1, 30 * day, 8 << 30},
		{home.Downloads(), 1, 7 * day, 16 << 30},
		{filepath.Join(home.Work(), "log"), 1, 90 * day, 512 << 20},
	}
}

// Run applies the bounds of a home now and from time to time, until ctx ends.
func Run(ctx context.Context, home protocol.Home, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, b := range bounds(home) {
			if err := b.apply(ctx, time.Now()); err != nil && ctx.Err() == nil {
				log.Warn("tidy up", "folder", b.dir, "error", err)
			}
		}
		if err := cutLog(home.DaemonLog(), maxDaemonLog, keptDaemonLog); err != nil {
			log.Warn("cut the log", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// An entryUse is the size of an entry of a folder, and the time of its last use.
type entryUse struct {
	path string
	size int64
	used time.Time
}

// apply removes the entries that exceed the bound. It treats a missing folder as an empty one, and leaves entries that it cannot remove now.
func (b bound) apply(ctx context.Context, now time.Time) error {
	entries, err := b.entries(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(x, y entryUse) int { return cmp.Or(y.used.Compare(x.used), cmp.Compare(x.path, y.path)) })
	var sum int64
	for _, e := range entries {
		sum += e.size
		idle := now.Sub(e.used)
		if idle <= spares || idle <= b.age && sum <= b.bytes {
			continue
		}
		sum -= e.size
		// The rename makes removal atomic for readers: they see the whole entry or none.
		to := filepath.Join(filepath.Dir(e.path), gone+filepath.Base(e.path))
		if os.Rename(e.path, to) == nil {
			os.RemoveAll(to)
		}
	}
	return nil
}

func (b bound) entries(ctx context.Context) ([]entryUse, error) {
	paths := []string{b.dir}
	for range b.depth {
		var next []string
		for _, dir := range paths {
			list, err := os.ReadDir(dir)
			if err != nil && (dir != b.dir || !errors.Is(err, fs.ErrNotExist)) {
				continue
			}
			for _, e := range list {
				at := filepath.Join(dir, e.Name())
				if strings.HasPrefix(e.Name(), gone) { // left by an interrupted removal
					os.RemoveAll(at)
					continue
				}
				next = append(next, at)
			}
		}
		paths = next
	}
	var entries []entryUse
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := entryUse{path: p}
		err := filepath.WalkDir(p, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().IsRegular() {
				e.size += info.Size()
			}
			if used := usedAt(info); used.After(e.used) && !d.IsDir() {
				e.used = used
			}
			return nil
		})
		if err == nil && !e.used.IsZero() { // else another process is making it, or has removed it
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// cutLog empties a log that is too large, and keeps its end in a file beside it.
// Every writer of the log must append.
func cutLog(path string, most, keep int64) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() <= most {
		return err
	}
	end, err := io.ReadAll(io.NewSectionReader(f, info.Size()-keep, keep))
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path+".old", end); err != nil {
		return err
	}
	return os.Truncate(path, 0)
}
