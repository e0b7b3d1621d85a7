package inside

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// A tree is the tree of the sandbox while it is built. Sources are opened before the tree of the host is covered, and stay the files that were opened.
type tree struct {
	root    int             // the new root folder
	own     map[uint64]bool // devices of the file systems that this process made: only there it creates folders and files
	rootDev uint64          // the device of the root, if this process made it, or 0
	scratch int             // the root of a file system for contents of files, or -1
	files   int             // the number of files there
	proc    int             // a mount of proc that is not in the tree yet, or -1
}

// inTree is how paths inside are resolved: never over a link, and never out of the tree.
var inTree = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}

// onHost is how paths of the host are resolved.
var onHost = unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}

// buildTree builds the tree and makes it the root of this process. The tree of the host is gone afterwards.
//
// Every granted path becomes a detached mount first. These are put together on a new root, which is mounted over the old one.
// So one pivot_root is enough: it needs no place in the tree of the host where the new one is built beside it.
func (b *box) buildTree() error {
	t := &tree{root: -1, own: map[uint64]bool{}, scratch: -1, proc: -1}
	mounts := b.spec.Mounts
	detached := make([]int, len(mounts))
	for i := range mounts {
		fd, err := t.detach(&mounts[i])
		if err != nil {
			return err
		}
		detached[i] = fd
	}
	if err := b.settings(t); err != nil {
		return err
	}
	if needsScratch(mounts) {
		if err := t.makeScratch(); err != nil {
			return err
		}
	}
	if len(mounts) > 0 && mounts[0].Target == "/" {
		t.root, mounts, detached = detached[0], mounts[1:], detached[1:]
	} else {
		fd, err := newTmpfs("mode", "0755")
		if err != nil {
			return fail("make the root", "/", err)
		}
		t.root = fd
		if t.rootDev, err = t.adopt(fd); err != nil {
			return fail("make the root", "/", err)
		}
	}
	if err := moveTo(t.root, unix.AT_FDCWD, "/"); err != nil {
		return fail("make the root", "/", err)
	}
	for i := range mounts {
		if err := t.put(&mounts[i], detached[i]); err != nil {
			return err
		}
	}
	if t.rootDev != 0 {
		if err := setAttr(t.root, 0, unix.MOUNT_ATTR_RDONLY); err != nil {
			return fail("make the root read-only", "/", err)
		}
	}
	return t.pivot()
}

// pivot makes the tree the root, and detaches the tree of the host.
func (t *tree) pivot() error {
	if err := unix.Fchdir(t.root); err != nil {
		return fail("enter the root", "/", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return failHint("change the root", "/", err, "pivot_root does not work in an initial RAM disk")
	}
	layers := 1 // the tree of the host, and what lies on it
	if t.scratch >= 0 {
		layers = 2
	}
	for range layers {
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return fail("detach the tree of the host", "/", err)
		}
	}
	if err := unix.Chdir("/"); err != nil {
		return fail("enter the root", "/", err)
	}
	if err := t.alone(); err != nil {
		return err
	}
	for _, fd := range []int{t.root, t.scratch, t.proc} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// alone fails if something is left on the root: a path that goes up from a folder would lead there.
func (t *tree) alone() error {
	var root, above unix.Stat_t
	err := unix.Fstat(t.root, &root)
	if err == nil {
		err = unix.Stat("/..", &above)
	}
	if err == nil && (root.Dev != above.Dev || root.Ino != above.Ino) {
		err = unix.EBUSY
	}
	return fail("be rid of the tree of the host", "/", err)
}

// detach makes the detached mount for m, or returns -1 if m needs none.
func (t *tree) detach(m *sandbox.Mount) (int, error) {
	switch m.Kind {
	case sandbox.RO, sandbox.RW, sandbox.Device:
		return bind(m)
	case sandbox.Overlay:
		return overlay(m)
	case sandbox.Tmpfs:
		options := []string{"mode", fmt.Sprintf("%#o", modeOf(m, 0o755))}
		if m.Size > 0 {
			options = append(options, "size", fmt.Sprint(m.Size))
		}
		fd, err := newTmpfs(options...)
		if err == nil {
			_, err = t.adopt(fd)
		}
		return fd, fail("mount a temporary file system", m.Target, err)
	case sandbox.Proc:
		fd, err := newProc()
		if t.proc < 0 {
			t.proc = fd
		}
		return fd, err
	case sandbox.Dev:
		fd, err := newTmpfs("mode", "0755")
		if err == nil {
			_, err = t.adopt(fd)
		}
		return fd, fail("mount devices", m.Target, err)
	case sandbox.Symlink, sandbox.File, sandbox.Dir:
	}
	return -1, nil
}

// put puts m into the tree.
func (t *tree) put(m *sandbox.Mount, fd int) error {
	switch m.Kind {
	case sandbox.Symlink:
		dir, name, err := t.parent(m.Target)
		if err != nil {
			return err
		}
		defer unix.Close(dir)
		return fail("make the link", m.Target, unix.Symlinkat(m.Source, dir, name))
	case sandbox.Dir:
		at, err := t.place(m.Target, true, modeOf(m, 0o755))
		unix.Close(at)
		return err
	case sandbox.File:
		return t.file(m)
	case sandbox.RO, sandbox.RW, sandbox.Device, sandbox.Overlay, sandbox.Tmpfs, sandbox.Proc, sandbox.Dev:
	}
	if err := t.attach(fd, m.Target); err != nil {
		return err
	}
	switch {
	case m.Kind == sandbox.Proc:
		if err := coverProc(fd); err != nil {
			return err
		}
	case m.Kind == sandbox.Dev:
		if err := t.fillDev(fd); err != nil {
			return err
		}
	}
	if fd != t.proc {
		unix.Close(fd)
	}
	return nil
}

// attach puts a detached mount at a path of the tree, which it makes if need be.
func (t *tree) attach(fd int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fail("mount", target, err)
	}
	at, err := t.place(target, st.Mode&unix.S_IFMT == unix.S_IFDIR, 0o755)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return fail("mount", target, unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// parent opens the folder of a path of the tree, which it makes if need be.
func (t *tree) parent(target string) (dir int, name string, err error) {
	dir, err = t.place(path.Dir(target), true, 0o755)
	return dir, path.Base(target), err
}

// place opens a path of the tree. If it does not exist, place makes it and the folders above it, but only in file systems that this process made.
func (t *tree) place(target string, dir bool, mode uint32) (int, error) {
	if target == "/" {
		return unix.FcntlInt(uintptr(t.root), unix.F_DUPFD_CLOEXEC, 0)
	}
	how := inTree
	fd, err := unix.Openat2(t.root, target[1:], &how)
	if !errors.Is(err, unix.ENOENT) {
		return fd, failPlace(target, err)
	}
	at, err := unix.FcntlInt(uintptr(t.root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fail("open the root", "/", err)
	}
	names := strings.Split(target[1:], "/")
	for i, name := range names {
		next, err := unix.Openat2(at, name, &how)
		if errors.Is(err, unix.ENOENT) {
			last := i == len(names)-1
			made := uint32(0o755)
			if last {
				made = mode
			}
			if err = t.make(at, name, !last || dir, made, target); err == nil {
				next, err = unix.Openat2(at, name, &how)
			}
		}
		unix.Close(at)
		if err != nil {
			return -1, failPlace(target, err)
		}
		at = next
	}
	return at, nil
}

// make makes a folder or an empty file in a folder of this process's own file systems.
func (t *tree) make(at int, name string, dir bool, mode uint32, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if !t.own[st.Dev] {
		return &sandbox.SetupError{Step: "make the place for", Object: target, Errno: unix.ENOENT,
			Detail: "it is in a folder of the host, where nothing is created", Hint: "make it there, or choose another target"}
	}
	if dir {
		return unix.Mkdirat(at, name, mode)
	}
	return unix.Mknodat(at, name, unix.S_IFREG|0o444, 0)
}

func failPlace(target string, err error) error {
	var e *sandbox.SetupError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, unix.ELOOP):
		return &sandbox.SetupError{Step: "make the place for", Object: target, Errno: unix.ELOOP,
			Detail: "a part of the path is a symbolic link inside", Hint: "use the path that the link leads to"}
	}
	return fail("make the place for", target, err)
}

// adopt records that this process made the file system of fd.
func (t *tree) adopt(fd int) (dev uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, err
	}
	t.own[st.Dev] = true
	return st.Dev, nil
}

func modeOf(m *sandbox.Mount, otherwise uint32) uint32 {
	if m.Mode != 0 {
		return m.Mode
	}
	return otherwise
}
