package wasmrt

import (
	"path"
	"sync"
	"time"
)

// In a build all files have one time. For configure scripts and make that is one too few: they check that a file which they have just written is not older
// than their sources. So while a command with processes runs, files that were written since it began have a second time, sinceAge after the first. When it
// ends, or another one begins, these files have the first time again. Both times depend only on what programs do, not on when or in which order.

// sinceAge is how much younger files are that were written since the command began. The clock of its processes begins there.
const sinceAge = time.Minute

// young is the set of files of a Dir that were written since a command began.
type young struct {
	mu       sync.Mutex
	commands int // that run
	files    map[inodeKey]struct{}
}

// beginWriting tells the directories that a command with processes begins. It ends with the function that is returned.
func (f *FS) beginWriting() (end func()) {
	var dirs []*young
	for _, m := range f.mounts {
		if d, ok := m.b.(*Dir); ok && !d.opts.Live {
			dirs = append(dirs, &d.young)
		}
	}
	for _, y := range dirs {
		y.mu.Lock()
		if y.commands++; y.commands == 1 {
			y.files = map[inodeKey]struct{}{}
		}
		y.mu.Unlock()
	}
	return func() {
		for _, y := range dirs {
			y.mu.Lock()
			if y.commands--; y.commands == 0 {
				y.files = nil
			}
			y.mu.Unlock()
		}
	}
}

// has reports whether a file is in the set.
func (y *young) has(k inodeKey) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	_, ok := y.files[k]
	return ok
}

// add adds a file that was written.
func (y *young) add(k inodeKey) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.files != nil {
		y.files[k] = struct{}{}
	}
}

// setTime adds or removes a file whose time a program sets; a negative time is none.
func (y *young) setTime(k inodeKey, mtime int64) {
	if mtime < 0 {
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	switch {
	case y.files == nil:
	case mtime > Epoch.UnixNano():
		y.files[k] = struct{}{}
	default:
		delete(y.files, k)
	}
}

// active reports whether a command runs.
func (y *young) active() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.files != nil
}

// entered records that the entries of a directory changed; a directory is known by its path.
func (d *Dir) entered(rel string) { d.young.add(inodeKey{path: path.Dir(rel)}) }

// wrote records a write to an open file.
func (f *dirFile) wrote() { f.dir.young.add(f.node.key) }

// setTimes is chtimes where files have no times of their own.
func (d *Dir) setTimes(rel string, mtime int64) errno {
	if !d.young.active() {
		return eOK
	}
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	k := inodeKey{path: rel}
	if !st.IsDir() {
		k, _ = keyOf(st, rel)
	}
	d.young.setTime(k, mtime)
	return eOK
}
