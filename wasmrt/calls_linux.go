//go:build amd64 || arm64

package wasmrt

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
)

// The list comes from traces of builds of clang and Lua with strace, and from runs behind the filter, with and without cgo,
// of these builds, of the build of SQLite's library and of net daemons.
// The list leaves out the calls that no build makes: other programs and processes, name spaces and mounts, io_uring, bpf, perf,
// keys, userfaultfd, System V and POSIX queues, changes of modes, owners and times by path.

// threadFlags are the flags of clone by which Go and C libraries start threads.
// threadOptions are optional flags: they pass addresses of thread-local storage and thread IDs.
const (
	threadFlags   = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	threadOptions = unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_SETTID | unix.CLONE_CHILD_CLEARTID
)

// baseCalls returns the calls of Go's runtime, of file systems and of machine code; self is the ID of this process.
// Frequent calls come first.
func baseCalls(self int) []sysCall {
	pid := uint64(uint32(self))
	all := ^uint64(0)
	return slices.Concat(
		plain(
			unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_NANOSLEEP,
			unix.SYS_OPENAT, unix.SYS_CLOSE, unix.SYS_FSTAT, unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL,
			unix.SYS_RT_SIGRETURN, unix.SYS_GETPID, unix.SYS_SCHED_YIELD,
			// files
			unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_LSEEK, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC,
			unix.SYS_GETDENTS64, unix.SYS_READLINKAT, unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2,
			unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_FCHMOD, unix.SYS_STATX, unix.SYS_FSTATFS, unix.SYS_COPY_FILE_RANGE,
			unix.SYS_SENDFILE, unix.SYS_SPLICE, unix.SYS_GETCWD, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2,
			unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2,
			// memory
			unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK,
			// threads, their signals, time
			unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETTID,
			unix.SYS_GETPPID, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MEMBARRIER, unix.SYS_RESTART_SYSCALL,
			unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_CLOCK_NANOSLEEP,
			unix.SYS_GETTIMEOFDAY,
			// about the process itself
			unix.SYS_UNAME, unix.SYS_GETRANDOM, unix.SYS_GETRLIMIT, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
		),
		plain(archCalls...),
		[]sysCall{
			// clone may start threads, but no processes and nothing in new name spaces.
			{unix.SYS_CLONE, []seccomp.Test{one(0, all&^threadOptions, threadFlags)}},
			// Memory is either writable or executable.
			{unix.SYS_MMAP, []seccomp.Test{one(2, all&^(unix.PROT_READ|unix.PROT_WRITE), 0)}},
			{unix.SYS_MPROTECT, []seccomp.Test{one(2, all&^(unix.PROT_READ|unix.PROT_WRITE), 0)}},
			{unix.SYS_MPROTECT, []seccomp.Test{one(2, all, unix.PROT_READ|unix.PROT_EXEC)}},
			// Signals and limits for this process only. Go sends signals to its threads to preempt them.
			{unix.SYS_TGKILL, []seccomp.Test{one(0, asInt, pid)}},
			{unix.SYS_KILL, []seccomp.Test{one(0, asInt, pid)}},
			{unix.SYS_PRLIMIT64, []seccomp.Test{one(0, asInt, 0, pid)}},
			// F_SETOWN and similar commands would send signals to other processes.
			{unix.SYS_FCNTL, []seccomp.Test{one(1, asInt, unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL)}},
			// TCGETS asks whether the file is a terminal, TIOCGWINSZ how wide it is. TIOCSTI would type into it.
			{unix.SYS_IOCTL, []seccomp.Test{one(1, asInt, unix.TCGETS, unix.TIOCGWINSZ)}},
			// Go names its memory mappings.
			{unix.SYS_PRCTL, []seccomp.Test{one(0, asInt, unix.PR_SET_VMA)}},
		},
	)
}

// networkCalls returns the calls of a process that may use the network: TCP, UDP and the kernel's routing table.
// Sockets of this machine (AF_UNIX) lead to daemons that trust their user. The process can make none and inherits none.
func networkCalls() []sysCall {
	const kind = asInt &^ (unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK)
	inet := one(0, asInt, unix.AF_INET, unix.AF_INET6)
	return slices.Concat(
		plain(
			unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM,
			unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKNAME,
			unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT,
		),
		[]sysCall{
			{unix.SYS_SOCKET, []seccomp.Test{inet, one(1, kind, unix.SOCK_STREAM), one(2, asInt, 0, unix.IPPROTO_TCP, unix.IPPROTO_MPTCP)}},
			{unix.SYS_SOCKET, []seccomp.Test{inet, one(1, kind, unix.SOCK_DGRAM), one(2, asInt, 0, unix.IPPROTO_UDP)}},
			{unix.SYS_SOCKET, []seccomp.Test{one(0, asInt, unix.AF_NETLINK), one(1, kind, unix.SOCK_RAW), one(2, asInt, unix.NETLINK_ROUTE)}},
			{unix.SYS_SETSOCKOPT, []seccomp.Test{one(1, asInt, unix.IPPROTO_IP, unix.IPPROTO_IPV6, unix.IPPROTO_TCP, unix.IPPROTO_UDP)}},
			// The list leaves out the options that attach packet filters.
			{unix.SYS_SETSOCKOPT, []seccomp.Test{one(1, asInt, unix.SOL_SOCKET), one(2, asInt,
				unix.SO_REUSEADDR, unix.SO_REUSEPORT, unix.SO_BROADCAST, unix.SO_KEEPALIVE, unix.SO_LINGER, unix.SO_RCVBUF, unix.SO_SNDBUF,
				unix.SO_RCVBUFFORCE, unix.SO_SNDBUFFORCE, unix.SO_RCVTIMEO, unix.SO_SNDTIMEO)}},
		},
	)
}

func allowedCalls(network bool, self int) []sysCall {
	if network {
		return slices.Concat(baseCalls(self), networkCalls())
	}
	return baseCalls(self)
}
