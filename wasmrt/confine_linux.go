package wasmrt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsyscall "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
)

// confine irrevocably drops the rights of this process that a worker does not need. It sets the kernel's limits and allows
// only the files in a. It refuses new programs, signals to other processes, the system calls used to attack kernels and,
// unless a.Network is set, the network. If the process runs as root, it becomes a.User.
// If the kernel lacks a wall, confine fails with a *WallError, unless a.Partial allows the worker to run without it.
func confine(l *WorkerLimits, a *Allowed) error {
	if missing := kernelWalls(); len(missing) > 0 && !a.Partial {
		return &WallError{missing}
	}
	if err := limitSelf(l); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("confine worker: %w", err)
	}
	if err := landlockSelf(a); err != nil {
		return fmt.Errorf("confine worker: landlock: %w", err)
	}
	if a.User != 0 && os.Geteuid() == 0 {
		if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(a.User), syscall.Setuid(a.User)); err != nil {
			return fmt.Errorf("confine worker: become user %d: %w", a.User, err)
		}
	}
	if seccomp.Supported() {
		if err := loadSeccomp(a.Network, os.Getpid()); err != nil {
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
			case refer: // renames from one directory to another
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

// closeInherited closes all descriptors that this process inherited, except the standard streams. An inherited socket
// would be a way out that no filter of new sockets closes.
// The descriptors that Go's runtime waits on stay open.
func closeInherited() error {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("find inherited files: %w", err)
	}
	for _, e := range list {
		n, err := strconv.Atoi(e.Name())
		if err != nil || n < 3 {
			continue
		}
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // the descriptor used to read the list
		}
		if err != nil {
			return fmt.Errorf("find inherited files: %w", err)
		}
		if to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			_ = unix.Close(n)
		}
	}
	return nil
}

// minLandlock is the first version of Landlock that also restricts truncation. Under an older version a worker that runs
// as root could empty files that it may read.
const minLandlock = 3

// kernelWalls lists the walls that this kernel cannot provide.
var kernelWalls = sync.OnceValue(func() []string {
	var out []string
	v, err := llsyscall.LandlockGetABIVersion()
	switch {
	case err != nil || v < 1:
		out = append(out, "Landlock: workers can open all files of this user (use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in the boot option lsm=)")
	case v < minLandlock:
		out = append(out, fmt.Sprintf("Landlock: this kernel has version %d, and %d is the first that also keeps files from being emptied (use Linux 6.2 or later)", v, minLandlock))
	}
	if !seccomp.Supported() {
		out = append(out, "seccomp: workers can make all system calls and use the network (use a kernel with CONFIG_SECCOMP_FILTER, on amd64 or arm64)")
	}
	return out
})

// missingSpaces lists the name spaces that this process cannot give to a worker.
func missingSpaces() []string {
	if _, err := spaces(); err != nil {
		return []string{fmt.Sprintf("name spaces: workers share the network and System V IPC of this machine: %v "+
			"(allow user name spaces: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns)", err)}
	}
	return nil
}

// MissingWalls lists the walls around a build worker that this system lacks, each with a remedy. It is empty if none is missing.
func MissingWalls() []string { return slices.Concat(missingSpaces(), kernelWalls()) }

// Confinement lists what this system lacks to confine worker processes: the missing walls, and gaps that another wall covers.
// Even then, programs are WebAssembly and reach only what they are given. The second wall is what is missing.
func Confinement() []string {
	out := MissingWalls()
	if v, err := llsyscall.LandlockGetABIVersion(); err == nil && v >= minLandlock && v < 6 {
		out = append(out, fmt.Sprintf("Landlock: this kernel has version %d; from 6 on it also keeps signals and abstract sockets apart, which here seccomp does alone", v))
	}
	return out
}
