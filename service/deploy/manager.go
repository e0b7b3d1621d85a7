package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/service"
)

// A Manager is the set of operations that a change needs of a service manager. Names are those of services.
type Manager interface {
	// Available returns an error with the code Unavailable if the manager does not run here, and what it lacks otherwise.
	Available(ctx context.Context) error
	// Folder returns the folder that its units are written to.
	Folder() string
	// Units renders the units of a service.
	Units(s *service.Service, l *service.Launcher) ([]service.Unit, error)
	// Reload makes it read its folder again, and start these services at boot. It starts none now.
	Reload(ctx context.Context, wanted []string) error
	// Start starts a service unless it runs, after what the manager was told before about it. Restart stops it before. Neither waits until the service is ready.
	Start(ctx context.Context, name string) error
	Restart(ctx context.Context, name string) error
	// Stop stops services, waits until they have stopped, and starts them at boot no more. Their units are still there. It is no error if they do not run.
	Stop(ctx context.Context, names []string) error
}

// writeUnit writes a unit: whoever reads it sees the old text or the new one.
func writeUnit(folder string, u *service.Unit) error {
	at := filepath.Join(folder, filepath.FromSlash(u.Path))
	dir := filepath.Dir(at)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(temp(at), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // after the rename it is not there
	_, err = f.WriteString(u.Text)
	if err == nil {
		err = f.Chmod(fs.FileMode(u.Mode))
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return atomicfile.Rename(f.Name(), at)
}

// temp returns the name of a unit that is being written. Managers pass over such names.
func temp(at string) string { return filepath.Join(filepath.Dir(at), ".nuka-"+filepath.Base(at)) }

// removeUnit removes a unit, and its folder if nothing else is in it.
func removeUnit(folder string, u *service.Unit) error {
	at := filepath.Join(folder, filepath.FromSlash(u.Path))
	if err := errors.Join(gone(os.Remove(temp(at))), gone(atomicfile.Remove(at))); err != nil {
		return err
	}
	if dir := filepath.Dir(at); dir != folder {
		_ = os.Remove(dir) // the manager may keep files in it
	}
	return nil
}

// onDisk returns the text of a unit on disk; there is false without a file.
func onDisk(folder string, u *service.Unit) (text string, there bool, err error) {
	b, err := readSmall(filepath.Join(folder, filepath.FromSlash(u.Path)), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("unit %s: %w", filepath.Join(folder, u.Path), err)
	}
	return string(b), true, nil
}

// unitOf returns the unit of a path; ok is false if there is none.
func unitOf(m Member, path string) (u service.Unit, ok bool) {
	i := slices.IndexFunc(m.Units, func(u service.Unit) bool { return u.Path == path })
	if i < 0 {
		return service.Unit{}, false
	}
	return m.Units[i], true
}
