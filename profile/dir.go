package profile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/internal/ownfile"
	"github.com/MordragT/nuka/protocol"
)

const (
	// Default is the name of the profile that commands use without --profile.
	Default = "default"
	// Current is the name of the link to the generation in use.
	Current = "current"

	record    = "generation.nuon"
	maxRecord = 16 << 20 // bytes of generation.nuon
	// unfinished begins the names of what a change has not finished.
	unfinished = ".new-"
)

var namePattern = lazyregexp.New(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// A Dir is the folder of a profile. Its methods may be called from several goroutines and processes.
type Dir struct {
	Name string
	path string
	// before is called before each step of a change; its error becomes the step's. It may be nil. Tests of crashes use it.
	before func(step string) error
}

// Open returns the profile of a name below a folder of profiles. The folder need not exist: then the profile has no generations.
// If another user owns it, the error has the code Denied.
func Open(profiles, name string) (*Dir, error) {
	if !namePattern().MatchString(name) {
		return nil, protocol.Errorf(protocol.Invalid, "profile %.100q: want letters, digits and . _ -, beginning with a letter or digit, 64 at most", name)
	}
	d := &Dir{Name: name, path: filepath.Join(profiles, name)}
	info, err := os.Lstat(d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err != nil:
		return nil, d.failed(err)
	case !info.IsDir():
		return nil, protocol.Errorf(protocol.Damaged, "profile %s: %s is no folder", name, d.path).WithHint("remove it")
	}
	if user, ours := ownfile.Owner(info); !ours {
		return nil, protocol.Errorf(protocol.Denied, "profile %s: %s belongs to the user %s", name, d.path, user).
			WithHint("run this command as that user, or choose another home: NUKA_HOME")
	}
	return d, nil
}

// Names returns the names of the profiles below a folder of profiles, sorted. The folder need not exist.
func Names(profiles string) (names []string, err error) {
	list, err := os.ReadDir(profiles)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range list {
		if e.IsDir() && namePattern().MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Path returns the folder of the profile.
func (d *Dir) Path() string { return d.path }

// Folder returns the folder of a generation.
func (d *Dir) Folder(number int) string { return filepath.Join(d.path, strconv.Itoa(number)) }

// Number returns the number of the generation in use, and 0 if there is none. It does not read the generation.
func (d *Dir) Number() (int, error) {
	target, err := os.Readlink(filepath.Join(d.path, Current))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n, ok := number(target)
	if err == nil && ok {
		return n, nil
	}
	_, e := os.Lstat(filepath.Join(d.path, Current))
	if err != nil && e != nil {
		return 0, d.failed(err)
	}
	what := "points to " + strconv.Quote(target)
	if err != nil {
		what = "is no link"
	}
	return 0, protocol.Errorf(protocol.Damaged, "profile %s: %s %s; it should be a link to the number of a generation", d.Name, Current, what).
		WithHint("choose a generation: nuka rollback N; all: nuka history")
}

// number reads the name of a generation: a number from 1, without leading zeros.
func number(name string) (int, bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && n > 0 && strconv.Itoa(n) == name
}

// Current returns the generation in use, and nil if there is none.
func (d *Dir) Current() (*Generation, error) {
	n, err := d.Number()
	if n == 0 || err != nil {
		return nil, err
	}
	return d.Generation(n)
}

// Numbers returns the numbers of all generations, in ascending order.
func (d *Dir) Numbers() ([]int, error) {
	list, err := os.ReadDir(d.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, d.failed(err)
	}
	var out []int
	for _, e := range list {
		if n, ok := number(e.Name()); ok && e.IsDir() {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Generation reads a generation. If it does not exist, the error has the code NotFound; if it was changed, Damaged.
func (d *Dir) Generation(n int) (*Generation, error) {
	damaged := func(err error) error {
		return protocol.Errorf(protocol.Damaged, "profile %s: generation %d: %s: %w", d.Name, n, record, err).
			WithHint("use another generation: nuka rollback N; all: nuka history")
	}
	info, err := os.Lstat(d.Folder(n))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, protocol.Errorf(protocol.NotFound, "profile %s has no generation %d", d.Name, n).WithHint("all generations: nuka history")
	case err != nil:
		return nil, d.failed(err)
	case !info.IsDir():
		return nil, damaged(errors.New("the generation is no folder"))
	}
	at := filepath.Join(d.Folder(n), record)
	if info, err := os.Lstat(at); err == nil && !info.Mode().IsRegular() {
		return nil, damaged(errors.New("it is no file"))
	}
	f, err := os.Open(at)
	if err != nil {
		return nil, damaged(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, damaged(err)
	}
	if len(text) > maxRecord {
		return nil, damaged(errors.New("it is too large"))
	}
	g, err := decode(n, text)
	if err != nil {
		return nil, damaged(err)
	}
	return g, nil
}

// failed adds the profile to an error of the file system, and a code and hint where the reason is known.
func (d *Dir) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission) || ownfile.ReadOnly(err):
		return protocol.Errorf(protocol.Denied, "profile %s: %w", d.Name, err).WithHint("the folder must be writable by its user: %s", d.path)
	}
	return fmt.Errorf("profile %s: %w", d.Name, err)
}
