package wasmrt

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"
)

func (d *Dir) mkdir(rel string) errno {
	e := d.making(rel, func() error { return d.root.Mkdir(rel, 0o755) })
	if e == eOK {
		d.young.add(inodeKey{path: rel})
	}
	return e
}

func (d *Dir) link(from, to string) errno {
	return d.making(to, func() error { return d.root.Link(from, to) })
}

func (d *Dir) symlink(target, rel string) errno {
	e := d.making(rel, func() error { return d.root.Symlink(target, rel) })
	if e == eOK {
		return d.setTimes(rel, Epoch.Add(sinceAge).UnixNano())
	}
	return e
}

// making accounts for one new name and runs the operation that creates it.
func (d *Dir) making(rel string, op func() error) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if e := d.quota.addFile(); e != eOK {
		return e
	}
	if err := op(); err != nil {
		d.quota.dropFile()
		return errnoOf(err)
	}
	d.entered(rel)
	return eOK
}

func (d *Dir) rmdir(rel string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if rel == "." {
		return eBusy
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if !st.IsDir() {
		return eNotdir
	}
	if err := d.root.Remove(rel); err != nil {
		if e := errnoOf(err); e != eExist {
			return e
		}
		return eNotempty
	}
	d.quota.dropFile()
	d.forget(rel)
	d.entered(rel)
	return eOK
}

func (d *Dir) unlink(rel string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if st.IsDir() {
		return eIsdir
	}
	if err := d.root.Remove(rel); err != nil {
		return errnoOf(err)
	}
	d.quota.dropFile()
	d.nodes.unlinked(st, rel)
	d.entered(rel)
	return eOK
}

func (d *Dir) rename(from, to string) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if from == "." || to == "." {
		return eBusy
	}
	if from == to {
		return eOK
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	src, err := d.root.Lstat(from)
	if err != nil {
		return errnoOf(err)
	}
	old, err := d.root.Lstat(to)
	if err != nil {
		old = nil
	}
	if old != nil && os.SameFile(src, old) {
		return eOK // two names of one file: POSIX leaves both
	}
	err = d.root.Rename(from, to)
	if err != nil && src.IsDir() && old != nil && old.IsDir() {
		err = d.renameOnto(from, to)
	}
	if err != nil {
		if src.IsDir() && (to == from || strings.HasPrefix(to, from+"/")) {
			return eInval
		}
		if e := errnoOf(err); e != eExist { // file systems return different errors for a directory that is not empty
			return e
		}
		return eNotempty
	}
	if old != nil {
		d.quota.dropFile()
		if old.IsDir() {
			d.forget(to)
		} else {
			d.nodes.unlinked(old, to)
		}
	}
	d.nodes.renamed(from, to)
	d.entered(from)
	d.entered(to)
	if src.IsDir() {
		d.moved(from, to)
	}
	return eOK
}

// renameOnto replaces an empty directory with another directory, which os.Root refuses.
// Between the two steps the name does not exist.
func (d *Dir) renameOnto(from, to string) error {
	if err := d.root.Remove(to); err != nil {
		return err
	}
	err := d.root.Rename(from, to)
	if err != nil {
		return errors.Join(err, d.root.Mkdir(to, 0o755))
	}
	return nil
}

// forget drops cached state of a removed directory. The caller holds d.mu.
func (d *Dir) forget(rel string) {
	delete(d.known, rel)
	for r := range d.refs {
		if r.rel == rel {
			r.gone = true
		}
	}
}

// moved updates cached paths after the rename of a directory. The caller holds d.mu.
func (d *Dir) moved(from, to string) {
	for p := range d.known {
		if p == from || strings.HasPrefix(p, from+"/") {
			delete(d.known, p)
		}
	}
	for r := range d.refs {
		if r.gone {
			continue
		}
		if r.rel == from || strings.HasPrefix(r.rel, from+"/") {
			r.rel = to + r.rel[len(from):]
		}
	}
}

func (d *Dir) chtimes(rel string, atime, mtime int64) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	if !d.opts.Live {
		return d.setTimes(rel, mtime)
	}
	if st, err := d.root.Lstat(rel); err == nil && st.Mode()&fs.ModeSymlink != 0 {
		dir, err := d.root.Open(path.Dir(rel))
		if err != nil {
			return errnoOf(err)
		}
		defer dir.Close()
		return errnoOf(hostLinkTimes(dir, path.Base(rel), atime, mtime))
	}
	return errnoOf(d.root.Chtimes(rel, timeOf(atime), timeOf(mtime)))
}

// timeOf returns the time of ns. If ns is negative it returns the zero time, which leaves the file's time unchanged.
func timeOf(ns int64) time.Time {
	if ns < 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

func (d *Dir) chmod(rel string, exec bool) errno {
	if d.opts.ReadOnly {
		return eRofs
	}
	st, err := d.root.Lstat(rel)
	if err != nil {
		return errnoOf(err)
	}
	if !st.Mode().IsRegular() {
		return eOK // only the executable bit of a file is kept
	}
	mode := st.Mode().Perm() &^ 0o111
	if exec {
		mode |= 0o100 | mode>>2&0o111 // all who may read the file may execute it, and its owner
	}
	return errnoOf(d.setMode(rel, mode))
}

// setMode sets a file's mode. In a build it opens the file first, because a worker may not change modes by path:
// Landlock does not check these calls.
func (d *Dir) setMode(rel string, mode fs.FileMode) error {
	if d.opts.Live {
		return d.root.Chmod(rel, mode)
	}
	f, err := d.root.OpenFile(rel, os.O_RDONLY|hostOpenFlags, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Close())
}
