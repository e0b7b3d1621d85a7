package inside

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// newProc returns a detached mount of the processes of this sandbox. A process sees only those that it may trace, so not this one.
func newProc() (int, error) {
	const attr = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	fd, err := newMount("proc", attr, "hidepid", "2")
	return fd, failHint("mount proc", "/proc", err, "the kernel refuses it where a part of the host's /proc is covered, as in containers: "+
		"start the container with --security-opt systempaths=unconfined, or leave /proc out")
}

// readOnlyProc lists what of /proc changes the machine. A process of root without capabilities could write there: it owns these files.
var readOnlyProc = []string{"sys", "irq", "bus", "fs", "driver", "tty", "pressure"}

// emptyProc lists what of /proc tells of the machine's memory, keys, devices and other users, or controls it.
var emptyProc = []string{
	"kcore", "kmsg", "keys", "key-users", "timer_list", "sched_debug", "latency_stats", "vmallocinfo", "slabinfo", "pagetypeinfo", "kallsyms",
	"modules", "interrupts", "kpagecount", "kpageflags", "kpagecgroup", "mtrr", "sysrq-trigger", "acpi", "scsi", "asound", "dynamic_debug",
}

// coverProc makes parts of a mounted proc read-only, and covers others: files with a device that cannot be opened, folders with an empty one.
func coverProc(proc int) error {
	for _, name := range readOnlyProc {
		fd, err := unix.OpenTree(proc, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = setAttr(fd, unix.AT_RECURSIVE, unix.MOUNT_ATTR_RDONLY)
		}
		if err == nil {
			err = moveTo(fd, proc, name)
		}
		if err != nil {
			return fail("make read-only", "/proc/"+name, err)
		}
		unix.Close(fd)
	}
	for _, name := range emptyProc {
		var st unix.Stat_t
		err := unix.Fstatat(proc, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = cover(proc, name, st.Mode&unix.S_IFMT == unix.S_IFDIR)
		}
		if err != nil {
			return fail("cover", "/proc/"+name, err)
		}
	}
	return nil
}

// cover covers one entry of a folder.
func cover(dir int, name string, folder bool) error {
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	var fd int
	var err error
	if folder {
		fd, err = newMount("tmpfs", attr, "mode", "0555")
	} else {
		fd, err = clone(unix.AT_FDCWD, "/dev/null", attr, "/dev/null")
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return moveTo(fd, dir, name)
}

// settings changes the settings of the new user and process name spaces, through a mount of proc that may not come into the tree.
// Nobody inside may create another user name space: in one, a process has all capabilities over it. It is the second wall beside seccomp.
func (b *box) settings(t *tree) error {
	if t.proc < 0 {
		fd, err := newProc()
		if err != nil {
			return err
		}
		t.proc = fd
	}
	if err := writeAt(t.proc, "sys/user/max_user_namespaces", "0"); err != nil {
		return fail("forbid user name spaces inside", "", err)
	}
	if n := b.spec.Limits.Processes; n > 0 {
		// Since Linux 6.14 each process name space has a greatest ID. The kernel gives IDs below reserved only once, so the bound is above it.
		const reserved = 300
		if err := writeAt(t.proc, "sys/kernel/pid_max", fmt.Sprint(reserved+n+1)); err == nil {
			b.started.Held.Processes = fmt.Sprintf("process name space (%d)", reserved+n)
		}
	}
	return nil
}

func writeAt(dir int, name, text string) error {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// devices are the nodes of a minimal /dev.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// devLinks are the links of a minimal /dev.
var devLinks = [][2]string{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
}

// fillDev fills a mounted tmpfs with the entries of a minimal /dev, and makes it read-only.
func (t *tree) fillDev(dev int) error {
	for _, name := range devices {
		if err := putDevice(dev, name, "/dev/"+name); err != nil {
			return err
		}
	}
	for _, l := range devLinks {
		if err := unix.Symlinkat(l[1], dev, l[0]); err != nil {
			return fail("make the link", "/dev/"+l[0], err)
		}
	}
	const attr = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	shm, err := newMount("tmpfs", attr|unix.MOUNT_ATTR_NODEV, "mode", "01777")
	if err == nil {
		err = putFolder(dev, "shm", shm)
	}
	if err != nil {
		return fail("mount", "/dev/shm", err)
	}
	pts, err := newMount("devpts", attr, "ptmxmode", "0666", "mode", "0620")
	if err == nil {
		err = putFolder(dev, "pts", pts)
	}
	if err != nil {
		return failHint("mount", "/dev/pts", err, "the kernel needs CONFIG_UNIX98_PTYS")
	}
	if name := terminal(); name != "" {
		if err := putDevice(dev, "console", name); err != nil {
			return err
		}
	}
	return fail("make read-only", "/dev", setAttr(dev, 0, unix.MOUNT_ATTR_RDONLY))
}

// putDevice puts a device node of the host into a folder.
func putDevice(dir int, name, source string) error {
	fd, err := bind(&sandbox.Mount{Kind: sandbox.Device, Source: source})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Mknodat(dir, name, unix.S_IFREG|0o444, 0); err != nil {
		return fail("make the place for", source, err)
	}
	return fail("mount", source, moveTo(fd, dir, name))
}

// putFolder puts a detached mount into a folder, under a new name.
func putFolder(dir int, name string, fd int) error {
	defer unix.Close(fd)
	return errors.Join(unix.Mkdirat(dir, name, 0o755), moveTo(fd, dir, name))
}

// terminal returns the path on the host of the terminal that is a standard stream, or "". Inside it becomes /dev/console, where ttyname(3) finds it.
func terminal() string {
	buf := make([]byte, unix.PathMax)
	for fd := range 3 {
		var st, named unix.Stat_t
		if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
			continue
		}
		if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			continue
		}
		n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf)
		if err != nil {
			continue
		}
		name := string(buf[:n])
		if unix.Lstat(name, &named) == nil && named.Dev == st.Dev && named.Ino == st.Ino {
			return name
		}
	}
	return ""
}
