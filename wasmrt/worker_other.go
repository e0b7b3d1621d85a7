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

// usage measures nothing on this system; only the kernel's own limits apply.
func usage(int) (cpu time.Duration, rss int64, ok bool) { return 0, 0, false }

func closeInherited() error { return nil }

// confine limits this process. This system has no walls: without a.Partial it fails with a *WallError.
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

// Confinement lists what this system lacks to confine worker processes: the missing walls and limits.
// Even then, programs are WebAssembly and reach only what they are given. The second wall is what is missing.
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

// widen does nothing: this system fixes the size of pipes.
func widen(any) {}
