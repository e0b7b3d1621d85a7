package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/protocol"
)

// lockWait is how long Lock waits for another command.
const lockWait = 30 * time.Second

// A Lock is the right to change a profile. Close gives it back.
type Lock struct {
	d *Dir
	f *os.File
}

// Lock makes the folder of the profile if it is missing, waits until no other process changes the profile, and removes what an interrupted
// change left. waits is called once if there is another process; it may be nil. If that process does not end in time, the error has the
// code Busy.
func (d *Dir) Lock(ctx context.Context, waits func()) (*Lock, error) {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return nil, d.failed(err)
	}
	f, err := ownfile.Lock(ctx, filepath.Join(d.path, "lock"), lockWait, waits)
	switch {
	case errors.Is(err, ownfile.ErrBusy):
		return nil, protocol.Errorf(protocol.Busy, "another command changes the profile %s", d.Name).WithHint("try again when it has ended")
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		return nil, d.failed(err)
	}
	l := &Lock{d, f}
	if err := l.clean(); err != nil {
		return nil, errors.Join(d.failed(err), l.Close())
	}
	return l, nil
}

// Close gives the lock back.
func (l *Lock) Close() error { return l.f.Close() }

// clean removes what an interrupted change left.
func (l *Lock) clean() error {
	list, err := os.ReadDir(l.d.path)
	if err != nil {
		return err
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(l.d.path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Next returns the number of the next generation.
func (l *Lock) Next() (int, error) {
	all, err := l.d.Numbers()
	if err != nil || len(all) == 0 {
		return 1, err
	}
	return all[len(all)-1] + 1, nil
}

// step calls fn, unless a test stops here.
func (l *Lock) step(name string, fn func() error) error {
	if l.d.before != nil {
		if err := l.d.before(name); err != nil {
			return err
		}
	}
	return fn()
}

// Add writes a generation and puts it into use. mount is the folder in which the environment appears under its PID. When Add returns nil,
// the generation is durable and in use. If Add fails or is interrupted, the generation in use is the old or the new one.
func (l *Lock) Add(g *Generation, mount string, start *Start) error {
	at := l.d.Folder(g.Number)
	if _, err := os.Lstat(at); err == nil {
		return protocol.Errorf(protocol.Internal, "profile %s: generation %d exists", l.d.Name, g.Number)
	}
	temp := filepath.Join(l.d.path, unfinished+strconv.Itoa(g.Number))
	err := g.write(temp, mount, start, l.step)
	if err == nil {
		err = l.step("name", func() error { return atomicfile.Rename(temp, at) })
	}
	if err != nil {
		return l.d.failed(errors.Join(err, os.RemoveAll(temp)))
	}
	return l.Use(g.Number)
}

// Write writes the folder of a generation that belongs to no profile, such as that of a temporary shell. at must not exist.
func (g *Generation) Write(at, mount string, start *Start) error {
	return g.write(at, mount, start, func(_ string, fn func() error) error { return fn() })
}

// write makes the folder of a generation, and its content durable.
func (g *Generation) write(at, mount string, start *Start, step func(string, func() error) error) error {
	text, err := g.encode()
	if err != nil {
		return err
	}
	if err := step("folder", func() error { return os.MkdirAll(filepath.Join(at, "bin"), 0o755) }); err != nil {
		return err
	}
	if err := step("record", func() error { return writeSynced(filepath.Join(at, record), text, 0o644) }); err != nil {
		return err
	}
	for _, launcher := range g.Launchers() {
		name, text := launcher.file(start)
		if err := step("launcher", func() error { return writeSynced(filepath.Join(at, "bin", name), text, 0o755) }); err != nil {
			return err
		}
	}
	env, err := g.EnvPID()
	if err != nil {
		return err
	}
	if !env.IsZero() {
		if err := step("tree", func() error { return os.Symlink(filepath.Join(mount, env.String()), filepath.Join(at, "tree")) }); err != nil {
			return err
		}
	}
	return step("sync", func() error { return errors.Join(atomicfile.SyncDir(filepath.Join(at, "bin")), atomicfile.SyncDir(at)) })
}

func writeSynced(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Use puts an existing generation into use. One rename does it.
func (l *Lock) Use(n int) error {
	if info, err := os.Lstat(l.d.Folder(n)); err != nil || !info.IsDir() {
		_, err := l.d.Generation(n)
		return err
	}
	temp := filepath.Join(l.d.path, unfinished+Current)
	err := l.step("link", func() error { return os.Symlink(strconv.Itoa(n), temp) })
	if err == nil {
		err = l.step("switch", func() error { return atomicfile.Rename(temp, filepath.Join(l.d.path, Current)) })
	}
	if err != nil {
		return l.d.failed(errors.Join(err, removeIfThere(temp)))
	}
	return nil
}

// Keep removes all generations but the newest n and the one in use, and returns the numbers of those that it removed.
func (l *Lock) Keep(n int) (removed []int, err error) {
	all, err := l.d.Numbers()
	if err != nil {
		return nil, err
	}
	current, err := l.d.Number()
	if err != nil {
		return nil, err // without knowing it, it might be removed
	}
	for _, number := range all[:max(0, len(all)-max(0, n))] {
		if number == current {
			continue
		}
		// Under another name first: an interrupted removal leaves no half of a generation.
		temp := filepath.Join(l.d.path, fmt.Sprintf("%sold-%d", unfinished, number))
		if err := atomicfile.Rename(l.d.Folder(number), temp); err != nil {
			return removed, l.d.failed(err)
		}
		removed = append(removed, number)
		if err := os.RemoveAll(temp); err != nil {
			return removed, l.d.failed(err)
		}
	}
	return removed, nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
