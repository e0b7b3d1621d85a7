package wasmrt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Confine takes from this process, for good, what a worker does not need: it sets the kernel's limits, allows the
// files that it may use, and refuses others, the network unless it may use it, new programs, signals to others and
// the calls by which kernels are attacked. With the network a process of root's becomes nobody's.
// What the kernel lacks is left out; Confinement says what that is.
func Confine(l *WorkerLimits, a *Allowed) error {
	if err := limitSelf(l); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("confine worker: %w", err)
	}
	if err := landlockSelf(a); err != nil {
		return fmt.Errorf("confine worker: landlock: %w", err)
	}
	if a.Network && os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(Nobody), syscall.Setuid(Nobody)); err != nil {
			return fmt.Errorf("confine worker: become nobody: %w", err)
		}
	}
	if seccomp.Supported() {
		f, err := filter(a.Network)
		if err == nil {
			err = seccomp.LoadFilter(f)
		}
		if err != nil {
			return fmt.Errorf("confine worker: seccomp: %w", err)
		}
	}
	return nil
}

func landlockSelf(a *Allowed) error {
	var rules []landlock.Rule
	add := func(paths []string, dir, file func(...string) landlock.FSRule, refer bool) error {
		for _, p := range paths {
			st, err := os.Stat(p)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			switch {
			case !st.IsDir():
				rules = append(rules, file(p))
			case refer: // renames from folder to folder
				rules = append(rules, dir(p).WithRefer())
			default:
				rules = append(rules, dir(p))
			}
		}
		return nil
	}
	if err := add(a.ReadOnly, landlock.RODirs, landlock.ROFiles, false); err != nil {
		return err
	}
	if err := add(a.ReadWrite, landlock.RWDirs, landlock.RWFiles, true); err != nil {
		return err
	}
	best := landlock.V11.BestEffort()
	if a.Network {
		return errors.Join(best.RestrictPaths(rules...), best.RestrictScoped())
	}
	return best.Restrict(rules...)
}

// networkCalls are refused to who may not use the network.
var networkCalls = []string{
	"socket", "socketpair", "socketcall", "connect", "bind", "listen", "accept", "accept4", "sendto", "sendmsg", "sendmmsg",
	"recvfrom", "recvmsg", "recvmmsg",
}

// refused are the calls a worker cannot make. Those for other processes and for threads have conditions, below.
var refused = []string{
	// other programs and processes
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
	"process_mrelease", "kcmp", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "tkill", "rt_sigqueueinfo",
	"rt_tgsigqueueinfo", "migrate_pages", "move_pages", "setpriority", "ioprio_set",
	// namespaces and mounts
	"unshare", "setns", "mount", "umount", "umount2", "pivot_root", "chroot", "open_tree", "open_tree_attr", "move_mount",
	"fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "open_by_handle_at", "name_to_handle_at", "quotactl",
	"quotactl_fd", "acct", "swapon", "swapoff", "fanotify_init",
	// the kernel
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key",
	"request_key", "init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load",
	"reboot", "syslog", "uselib", "personality", "iopl", "ioperm", "vm86", "vm86old", "modify_ldt", "lookup_dcookie",
	"nfsservctl", "_sysctl", "settimeofday", "stime", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime",
	"clock_adjtime64", "sethostname", "setdomainname", "vhangup",
	// ways to talk to other builds
	"shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop", "semctl", "semtimedop",
	"mq_open", "mq_unlink", "memfd_secret",
}

// filter returns the seccomp filter: everything is allowed but what is refused.
func filter(network bool) (seccomp.Filter, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return seccomp.Filter{}, err
	}
	known := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
			_, ok := info.SyscallNames[n]
			return !ok
		})
	}
	self := uint64(os.Getpid())
	conditions := []seccomp.NameWithConditions{
		// threads, not processes
		{Name: "clone", Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}}},
		// signals and limits of its own
		{Name: "kill", Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.NotEqual, Value: self}}},
		{Name: "tgkill", Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.NotEqual, Value: self}}},
		{Name: "prlimit64", Conditions: []seccomp.Condition{
			{Argument: 0, Operation: seccomp.NotEqual, Value: self},
			{Argument: 0, Operation: seccomp.NotEqual, Value: 0},
		}},
		{Name: "ioctl", Conditions: []seccomp.Condition{{Argument: 1, Operation: seccomp.Equal, Value: unix.TIOCSTI}}},
		{Name: "ioctl", Conditions: []seccomp.Condition{{Argument: 1, Operation: seccomp.Equal, Value: unix.TIOCLINUX}}},
	}
	names := refused
	if network {
		// Sockets of this machine lead to daemons that trust their user.
		conditions = append(conditions, seccomp.NameWithConditions{
			Name: "socket", Conditions: []seccomp.Condition{{Argument: 0, Operation: seccomp.Equal, Value: unix.AF_UNIX}},
		})
	} else {
		names = slices.Concat(refused, networkCalls)
	}
	groups := []seccomp.SyscallGroup{{
		Action: seccomp.ActionErrno, Names: known(names), NamesWithCondtions: conditions,
	}}
	// With EPERM in place of ENOSYS, who wants a thread would not try clone.
	if names := known([]string{"clone3"}); len(names) > 0 {
		groups = append(groups, seccomp.SyscallGroup{Action: returnErrno(unix.ENOSYS), Names: names})
	}
	return seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy:     seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups},
	}, nil
}

// returnErrno is the action that answers with an error; the library's own always answers EPERM.
func returnErrno(e unix.Errno) seccomp.Action {
	return seccomp.Action(unix.SECCOMP_RET_ERRNO | uint32(e))
}

// closeInherited closes what was open when this process was started but the standard streams.
// The runtime's own descriptors are anonymous inodes and stay.
func closeInherited() {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range list {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n < 3 {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.HasPrefix(to, "anon_inode:") {
			_ = unix.Close(n)
		}
	}
}

// Confinement lists what is missing to confine worker processes on this system, empty if nothing is.
// Programs are WebAssembly all the same and reach nothing they are not given; what is missing is the second wall.
func Confinement() []string {
	var out []string
	if v, err := llsyscall.LandlockGetABIVersion(); err != nil || v < 1 {
		out = append(out, "workers can open all files of this user (the kernel has no Landlock)")
	} else if v < 6 {
		out = append(out, fmt.Sprintf("Landlock of this kernel is version %d; 6 and later also separate signals and sockets", v))
	}
	if !seccomp.Supported() {
		out = append(out, "workers can make all system calls and use the network (the kernel has no seccomp filters)")
	}
	return out
}
