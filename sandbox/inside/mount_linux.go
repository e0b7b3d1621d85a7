package inside

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// setAttr sets attributes of the mount of fd, and with the flag AT_RECURSIVE of all below it. Source: mount_setattr(2), since Linux 5.12.
func setAttr(fd int, flags uint, attr uint64) error {
	return unix.MountSetattr(fd, "", flags|unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attr, Propagation: unix.MS_PRIVATE})
}

// moveTo attaches a detached mount at a path.
func moveTo(fd, dir int, name string) error {
	return unix.MoveMount(fd, "", dir, name, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// openHost opens a path of the host without following links.
func openHost(p string) (int, error) {
	how := onHost
	fd, err := unix.Openat2(unix.AT_FDCWD, p, &how)
	switch {
	case errors.Is(err, unix.ELOOP):
		return -1, &sandbox.SetupError{Step: "open", Object: p, Errno: unix.ELOOP, Detail: "a part of the path is a symbolic link",
			Hint: "grant the path that the link leads to"}
	case errors.Is(err, unix.ENOSYS):
		return -1, failHint("open", p, err, oldKernel)
	}
	return fd, fail("open", p, err)
}

const oldKernel = "sandboxes need Linux 5.12 or later"

// bind returns a detached copy of the mounts at and below the source of m.
func bind(m *sandbox.Mount) (int, error) {
	from, err := openHost(m.Source)
	if err != nil {
		return -1, err
	}
	defer unix.Close(from)
	var st unix.Stat_t
	if err := unix.Fstat(from, &st); err != nil {
		return -1, fail("open", m.Source, err)
	}
	kind := st.Mode & unix.S_IFMT
	if node := kind == unix.S_IFCHR || kind == unix.S_IFBLK; node != (m.Kind == sandbox.Device) && kind != unix.S_IFDIR {
		return -1, &sandbox.SetupError{Step: "bind", Object: m.Source, Detail: "a device node, and nothing else, has the kind device"}
	}
	attr := uint64(unix.MOUNT_ATTR_NOSUID)
	if m.Kind != sandbox.Device {
		attr |= unix.MOUNT_ATTR_NODEV
	}
	if m.Kind == sandbox.RO {
		attr |= unix.MOUNT_ATTR_RDONLY
	}
	return clone(from, "", attr, m.Source)
}

// clone returns a detached copy of the mounts at and below a path, with the attributes.
func clone(dir int, name string, attr uint64, object string) (int, error) {
	fd, err := unix.OpenTree(dir, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return -1, fail("bind", object, err)
	}
	if err := setAttr(fd, unix.AT_RECURSIVE, attr); err != nil {
		unix.Close(fd)
		return -1, failHint("restrict the mount of", object, err, oldKernel)
	}
	return fd, nil
}

// newMount returns a detached mount of a new file system with options, which are names and values in turn.
func newMount(kind string, attr int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for i := 0; i+1 < len(options); i += 2 {
		if err := unix.FsconfigSetString(fs, options[i], options[i+1]); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
}

func newTmpfs(options ...string) (int, error) {
	return newMount("tmpfs", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, options...)
}

// overlay returns a detached overlay. The folders are opened first, and the kernel gets them as paths of descriptors: so it mounts the folders that
// were opened, and their names may contain any sign. Each lower folder is an option of its own, since Linux 6.7; so their number is
// not bounded by a page. Source: Documentation/filesystems/overlayfs.rst.
func overlay(m *sandbox.Mount) (int, error) {
	if len(m.Lower) == 1 && m.Upper == "" {
		return bind(&sandbox.Mount{Kind: sandbox.RO, Source: m.Lower[0]})
	}
	// userxattr: an overlay of a user name space may not read the attributes trusted.overlay.
	options := []string{}
	var opened []int
	defer func() {
		for _, fd := range opened {
			unix.Close(fd)
		}
	}()
	add := func(option, p string) error {
		fd, err := openHost(p)
		if err == nil {
			opened = append(opened, fd)
			options = append(options, option, fmt.Sprintf("/proc/self/fd/%d", fd))
		}
		return err
	}
	for _, p := range m.Lower {
		if err := add("lowerdir+", p); err != nil {
			return -1, err
		}
	}
	attr := unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	if m.Upper == "" {
		attr |= unix.MOUNT_ATTR_RDONLY
	} else if err := errors.Join(add("upperdir", m.Upper), add("workdir", m.Work)); err != nil {
		return -1, err
	}
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, failHint("mount the overlay", m.Target, err, "the kernel needs CONFIG_OVERLAY_FS")
	}
	defer unix.Close(fs)
	err = unix.FsconfigSetFlag(fs, "userxattr")
	for i := 0; i < len(options) && err == nil; i += 2 {
		err = unix.FsconfigSetString(fs, options[i], options[i+1])
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return -1, failHint("mount the overlay", m.Target, err, "overlays need Linux 6.7 or later, folders that are no overlays of overlays themselves, and at most 500 of them")
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attr)
	return fd, fail("mount the overlay", m.Target, err)
}

// file puts a file with given bytes into the tree. On the read-only root it is a file; elsewhere it is a read-only mount of one.
func (t *tree) file(m *sandbox.Mount) error {
	mode := modeOf(m, 0o444)
	dir, name, err := t.parent(m.Target)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return fail("make the file", m.Target, err)
	}
	if t.rootDev != 0 && st.Dev == t.rootDev {
		fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		if err != nil {
			return fail("make the file", m.Target, err)
		}
		defer unix.Close(fd)
		return fail("write the file", m.Target, writeAll(fd, m.Content))
	}
	t.files++
	fd, err := unix.Openat(t.scratch, fmt.Sprint(t.files), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, mode)
	if err != nil {
		return fail("make the file", m.Target, err)
	}
	defer unix.Close(fd)
	if err := writeAll(fd, m.Content); err != nil {
		return fail("write the file", m.Target, err)
	}
	mount, err := clone(fd, "", unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV, m.Target)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return t.attach(mount, m.Target)
}

// needsScratch reports whether a file of the Spec comes to lie in something that is mounted.
func needsScratch(mounts []sandbox.Mount) bool {
	for i := range mounts {
		if mounts[i].Kind != sandbox.File {
			continue
		}
		for j := range mounts[:i] {
			over := &mounts[j]
			if over.Kind != sandbox.Symlink && over.Kind != sandbox.Dir && (over.Target == "/" || strings.HasPrefix(mounts[i].Target, over.Target+"/")) {
				return true
			}
		}
	}
	return false
}

// makeScratch mounts a file system for the contents of files. A file can be cloned only from a mounted one. It lies
// between the tree of the host and the new root, where nobody reaches it, and goes with the former.
func (t *tree) makeScratch() error {
	fd, err := newTmpfs("mode", "0700")
	if err == nil {
		t.scratch = fd
		err = moveTo(fd, unix.AT_FDCWD, "/")
	}
	return fail("make room for files", "", err)
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
