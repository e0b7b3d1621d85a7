//go:build amd64 || arm64

package inside

import (
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
)

// The list began as Flatpak's and adds what was used to attack kernels since. It is a list of what is refused, because
// foreign programs make any call; calls that are newer than the list are refused as well.
//
// EPERM tells a program that it may not. ENOSYS tells the C libraries and language runtimes that the kernel is an older one, so that they use an older call.

// newestCall is the newest system call that this list has an opinion on.
const newestCall = unix.SYS_LISTNS

// spaceFlags are the flags of clone and unshare that make name spaces. CLONE_NEWTIME is one of unshare only: in clone its bit belongs to the signal.
const spaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// forbidden lists the calls that return EPERM.
var forbidden = []uint32{
	// Name spaces, mounts, roots; files by handle, which would evade the tree.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_BY_HANDLE_AT,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// Keys.
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// Parts of the kernel with many faults, or with code that runs in it.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_FANOTIFY_INIT,
	// The machine.
	unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_VHANGUP, unix.SYS_SETTIMEOFDAY,
	unix.SYS_CLOCK_SETTIME, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_NFSSERVCTL,
	// Where memory lies, which tells of other processes.
	unix.SYS_MOVE_PAGES, unix.SYS_MIGRATE_PAGES, unix.SYS_MBIND, unix.SYS_GET_MEMPOLICY, unix.SYS_SET_MEMPOLICY, unix.SYS_SET_MEMPOLICY_HOME_NODE,
}

// absent lists the calls that return ENOSYS: programs have another way.
var absent = []uint32{
	unix.SYS_CLONE3, // its flags are in memory, where a filter cannot read them; C libraries use clone instead
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT, unix.SYS_LISTNS,
}

// personalities are the personalities that a program may have: those of Linux, with the older version numbers, and a fixed layout of memory.
// The last value only asks.
var personalities = []uint64{0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff}

// programFilter returns the filter of a program, which may make sockets of the families.
func programFilter(families []uint64) *seccomp.Filter {
	eperm, enosys := seccomp.Errno(unix.EPERM), seccomp.Errno(unix.ENOSYS)
	f := &seccomp.Filter{Otherwise: seccomp.Allow, X32: enosys, Newest: newestCall}
	add := func(call uint32, a seccomp.Action, tests ...seccomp.Test) {
		f.Rules = append(f.Rules, seccomp.Rule{Call: call, Tests: tests, Action: a})
	}
	// The kernel reads 32 bits of these arguments. TIOCSTI types into the terminal, TIOCLINUX pastes into a console (CVE-2023-28100).
	add(unix.SYS_IOCTL, eperm, seccomp.One(1, seccomp.Int, unix.TIOCSTI, unix.TIOCLINUX))
	add(unix.SYS_CLONE, seccomp.Allow, seccomp.One(0, spaceFlags, 0))
	add(unix.SYS_CLONE, eperm)
	if len(families) > 0 {
		add(unix.SYS_SOCKET, seccomp.Allow, seccomp.One(0, seccomp.Int, families...))
		add(unix.SYS_SOCKET, seccomp.Allow, seccomp.One(0, seccomp.Int, unix.AF_NETLINK), seccomp.One(2, seccomp.Int, unix.NETLINK_ROUTE))
	}
	add(unix.SYS_SOCKET, seccomp.Errno(unix.EAFNOSUPPORT))
	add(unix.SYS_PERSONALITY, seccomp.Allow, seccomp.One(0, seccomp.Int, personalities...))
	add(unix.SYS_PERSONALITY, eperm)
	for _, call := range mknods {
		add(call.nr, eperm, seccomp.One(call.mode, unix.S_IFMT, unix.S_IFCHR, unix.S_IFBLK))
	}
	for _, call := range forbidden {
		add(call, eperm)
	}
	for _, call := range archForbidden {
		add(call, eperm)
	}
	for _, call := range absent {
		add(call, enosys)
	}
	return f
}

// A mknodCall is a call that makes device nodes, and which of its arguments is the mode.
type mknodCall struct {
	nr   uint32
	mode int
}
