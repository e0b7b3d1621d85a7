//go:build !linux

package wasmrt

import (
	"os"
	"os/exec"
	"runtime"
	"time"
)

func startConfined(cmd *exec.Cmd, unconfined, partial bool) error {
	if !unconfined && !partial {
		return &WallError{MissingWalls()}
	}
	setGroup(cmd)
	return cmd.Start()
}

func exitLimit(*os.ProcessState) error { return nil }

// usage is not known here; the kernel's own limits are all there is.
func usage(int) (cpu time.Duration, rss int64, ok bool) { return 0, 0, false }

func closeInherited() error { return nil }

// confine limits this process. There are no walls here: without a.Partial it fails with a *WallError.
func confine(l *WorkerLimits, a *Allowed) error {
	if !a.Partial {
		return &WallError{MissingWalls()}
	}
	return limitSelf(l)
}

// MissingWalls lists the walls around a build worker that this system lacks.
func MissingWalls() []string {
	return []string{"Landlock, seccomp and name spaces: workers are not kept from the network and the files of this user (only Linux has them)"}
}

// Confinement lists what this system lacks to confine worker processes: the missing walls, and limits.
// Programs are WebAssembly all the same and reach nothing they are not given; what is missing is the second wall.
func Confinement() []string {
	out := append(MissingWalls(),
		"workers are not killed for the memory or the processor time they use, but for the time that passes",
		"a worker goes on for a while when the daemon is killed",
	)
	if runtime.GOOS == "windows" {
		out = append(out, "links and the executable bit of files that builds make are as this system has them",
			"only the permissions of the socket's folder decide who may enrol a key")
	}
	return out
}

// widen does nothing: pipes are as large as they are.
func widen(any) {}
