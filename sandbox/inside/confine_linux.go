package inside

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
	"github.com/MordragT/nuka/sandbox"
)

// confine gives up the rights of this process, and of all that it starts.
func (b *box) confine() error {
	if err := b.leaveKeyring(); err != nil {
		return fail("leave the session keyring", "", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fail("give up new privileges", "", err)
	}
	if b.spaces {
		if err := dropCapabilities(); err != nil {
			return err
		}
	}
	if err := b.landlock(); err != nil {
		return err
	}
	// Nobody inside may open this process's files in /proc: exe leads to the launcher on the host (CVE-2019-5736), and mem to the Spec.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fail("hide the launcher", "", err)
	}
	if !seccomp.Supported() {
		return &sandbox.SetupError{Step: "filter system calls", Detail: "this kernel or processor has no seccomp filters",
			Hint: "use a kernel with CONFIG_SECCOMP_FILTER, on amd64 or arm64"}
	}
	return fail("filter system calls", "", programFilter(b.families()).Load())
}

// leaveKeyring joins an anonymous session keyring: without it the program would have the keys of the caller's session. A user may have few keyrings (200),
// and the kernel counts one for some milliseconds after its last process has ended; if many sandboxes start and end, it waits.
// If that does not help, seccomp alone keeps the program from the keys.
func (b *box) leaveKeyring() error {
	for range 20 {
		_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
		if err == nil || errors.Is(err, unix.ENOSYS) {
			return nil
		}
		if !errors.Is(err, unix.EDQUOT) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.missing("session keyring: this user has too many keys; seccomp alone keeps the program from the caller's (raise the sysctl kernel.keys.maxkeys)")
	return nil
}

// Securebits: a process of user 0 gets no capability by it, and nobody changes that. Source: capabilities(7).
const securebits = 1<<0 | 1<<1 | // SECBIT_NOROOT and its lock
	1<<2 | 1<<3 | // SECBIT_NO_SETUID_FIXUP
	1<<5 | // SECBIT_KEEP_CAPS_LOCKED
	1<<6 | 1<<7 // SECBIT_NO_CAP_AMBIENT_RAISE

// dropCapabilities empties all sets of capabilities: the bounding set first, because that needs a capability.
func dropCapabilities() error {
	for c := uintptr(0); c < 64; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // above the kernel's last one
		}
		if err != nil {
			return fail("give up capabilities", fmt.Sprint(c), err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, securebits, 0, 0, 0); err != nil {
		return fail("give up capabilities", "of user 0", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fail("give up capabilities", "that programs inherit", err)
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	// On all threads: the program may not find one that can do more.
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	runtime.KeepAlive(&hdr)
	if e != 0 {
		return fail("give up capabilities", "", e)
	}
	return nil
}

// Rights of Landlock. Source: landlock(7).
const (
	llRead  = llsyscall.AccessFSExecute | llsyscall.AccessFSReadFile | llsyscall.AccessFSReadDir
	llFile  = llsyscall.AccessFSExecute | llsyscall.AccessFSReadFile | llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate | llsyscall.AccessFSIoctlDev
	llMake  = llsyscall.AccessFSMakeDir | llsyscall.AccessFSMakeReg | llsyscall.AccessFSMakeSock | llsyscall.AccessFSMakeFifo | llsyscall.AccessFSMakeSym
	llWrite = llRead | llMake | llsyscall.AccessFSWriteFile | llsyscall.AccessFSRemoveDir | llsyscall.AccessFSRemoveFile | llsyscall.AccessFSRefer | llsyscall.AccessFSTruncate
	llAll   = llWrite | llsyscall.AccessFSMakeChar | llsyscall.AccessFSMakeBlock | llsyscall.AccessFSIoctlDev
)

// handledBy returns the rights that a version of Landlock knows.
func handledBy(version int) uint64 {
	all := uint64(llAll)
	switch {
	case version < 2:
		return all &^ (llsyscall.AccessFSRefer | llsyscall.AccessFSTruncate | llsyscall.AccessFSIoctlDev)
	case version < 3:
		return all &^ (llsyscall.AccessFSTruncate | llsyscall.AccessFSIoctlDev)
	case version < 5:
		return all &^ llsyscall.AccessFSIoctlDev
	}
	return all
}

// landlock lets this thread, and what it starts, read the tree and write only to the places that the Spec makes writable. It is the second wall behind the
// tree: a descriptor or a link of /proc that leads out of the tree leads to a file without a right. In the fallback it is the only one.
func (b *box) landlock() error {
	version, err := llsyscall.LandlockGetABIVersion()
	if err != nil || version < 1 {
		b.missing("Landlock: the tree and seccomp alone keep the program in (use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in the boot option lsm=)")
		if !b.spaces {
			return &sandbox.SetupError{Step: "restrict files with Landlock", Errno: unix.ENOSYS, Hint: "without name spaces the sandbox needs Landlock, Linux 5.13 or later"}
		}
		return nil
	}
	attr := llsyscall.RulesetAttr{HandledAccessFS: handledBy(version)}
	if version >= 6 {
		attr.Scoped = llsyscall.ScopeAbstractUnixSocket | llsyscall.ScopeSignal
	}
	if version >= 4 && !b.spaces && b.spec.Net == sandbox.NetNone {
		attr.HandledAccessNet = llsyscall.AccessNetBindTCP | llsyscall.AccessNetConnectTCP
	}
	rules, err := llsyscall.LandlockCreateRuleset(&attr, 0)
	if err != nil {
		return fail("restrict files with Landlock", "", err)
	}
	defer unix.Close(rules)
	add := func(fd int, rights uint64) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			rights &= llFile
		}
		return llsyscall.LandlockAddPathBeneathRule(rules, &llsyscall.PathBeneathAttr{AllowedAccess: rights & attr.HandledAccessFS, ParentFd: fd}, 0)
	}
	for _, r := range b.fileRights() {
		fd, err := openHost(r.path)
		if err == nil {
			err = add(fd, r.rights)
			unix.Close(fd)
		}
		if err != nil {
			return fail("allow with Landlock", r.path, err)
		}
	}
	if b.takesSockets() { // the launcher's program becomes the program
		fd, err := unix.Open(ownProgram, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err == nil {
			err = add(fd, llsyscall.AccessFSReadFile|llsyscall.AccessFSExecute)
			unix.Close(fd)
		}
		if err != nil {
			return fail("allow with Landlock", "the launcher's own program", err)
		}
	}
	// /dev/stdout and the like open what the descriptor is. A pipe or socket needs no right, and the kernel refuses a rule for it.
	for fd := range sandbox.FirstExtraFD + b.spec.Extra {
		if fd == sandbox.ControlFD {
			continue
		}
		if err := add(fd, streamRights(fd)); err != nil && !errors.Is(err, unix.EBADFD) && !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.EINVAL) {
			return fail("allow with Landlock", fmt.Sprintf("descriptor %d", fd), err)
		}
	}
	return fail("restrict files with Landlock", "", llsyscall.LandlockRestrictSelf(rules, 0))
}

// streamRights returns the rights that an open descriptor has already.
func streamRights(fd int) uint64 {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return 0
	}
	rights := uint64(llsyscall.AccessFSIoctlDev)
	if flags&unix.O_ACCMODE != unix.O_WRONLY {
		rights |= llsyscall.AccessFSReadFile
	}
	if flags&unix.O_ACCMODE != unix.O_RDONLY {
		rights |= llsyscall.AccessFSWriteFile | llsyscall.AccessFSTruncate
	}
	return rights
}

// A fileRight is what the program may do at and below a path.
type fileRight struct {
	path   string
	rights uint64
}

// fileRights returns the rights to files inside: everything in the tree is readable. In the fallback it is the tree of the host, where only
// the sources of folders, files and devices are what was granted: the target of any other mount is another file there.
func (b *box) fileRights() []fileRight {
	if !b.spaces {
		return b.hostRights()
	}
	out := []fileRight{{"/", llRead}}
	for i := range b.spec.Mounts {
		m := &b.spec.Mounts[i]
		if r := rightsOf(m); r != llRead && !covered(b.spec.Mounts[i+1:], m.Target) {
			out = append(out, fileRight{m.Target, r})
		}
	}
	return out
}

// hostRights returns the rights to files of the host, and records which mounts the program has to do without.
func (b *box) hostRights() []fileRight {
	var out []fileRight
	for i := range b.spec.Mounts {
		m := &b.spec.Mounts[i]
		switch m.Kind {
		case sandbox.RO, sandbox.RW, sandbox.Device:
			out = append(out, fileRight{m.Source, rightsOf(m)})
			if m.Source != m.Target {
				b.missing("mount %s: without name spaces it is only at %s", m.Target, m.Source)
			}
		case sandbox.Proc:
			out = append(out, fileRight{"/proc", llRead})
		case sandbox.Dev:
			for _, name := range devices {
				out = append(out, fileRight{"/dev/" + name, llFile})
			}
		case sandbox.Overlay, sandbox.Tmpfs, sandbox.Symlink, sandbox.File, sandbox.Dir:
			b.missing("mount %s of kind %s: without name spaces there is none", m.Target, m.Kind)
		}
	}
	return out
}

func (b *box) missing(format string, args ...any) {
	b.started.Missing = append(b.started.Missing, fmt.Sprintf(format, args...))
}

// families returns the families of sockets that the program may make. In the fallback sockets of the file system would lead to the daemons of
// the host, as D-Bus, which do what their user asks for; Landlock does not keep the program from them.
func (b *box) families() []uint64 {
	inet := []uint64{unix.AF_INET, unix.AF_INET6}
	switch {
	case b.spaces:
		return append(inet, unix.AF_UNIX)
	case b.spec.Net == sandbox.NetHost:
		return inet
	}
	return nil
}

// covered reports whether a later mount hides a target, so that a rule for it would be one for another file.
func covered(later []sandbox.Mount, target string) bool {
	for i := range later {
		if t := later[i].Target; t == target || strings.HasPrefix(target, t+"/") {
			return true
		}
	}
	return false
}

func rightsOf(m *sandbox.Mount) uint64 {
	switch m.Kind {
	case sandbox.RW, sandbox.Tmpfs:
		return llWrite
	case sandbox.Overlay:
		if m.Upper != "" {
			return llWrite
		}
		return llRead
	case sandbox.Device, sandbox.Dev:
		return llWrite | llsyscall.AccessFSIoctlDev
	case sandbox.RO, sandbox.Proc, sandbox.Symlink, sandbox.File, sandbox.Dir:
		return llRead
	}
	return 0
}

// selfThreads returns how many threads this process has.
func selfThreads() int {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 16
	}
	return len(list)
}
