//go:build unix

package wasmrt

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// limitSelf sets the kernel's limits on this process. A limit that is already lower stays.
// RLIMIT_DATA limits memory, not RLIMIT_AS: address space reserved without access rights, of which Go and linear
// memories reserve gigabytes, counts only against RLIMIT_AS.
func limitSelf(l *WorkerLimits) error {
	set := func(name string, which int, soft, hard uint64) error {
		var old unix.Rlimit
		if err := unix.Getrlimit(which, &old); err != nil {
			return fmt.Errorf("limit %s: %w", name, err)
		}
		lim := newRlimit(min(soft, rlimitMax(old)), min(hard, rlimitMax(old)))
		if err := unix.Setrlimit(which, &lim); err != nil {
			return fmt.Errorf("limit %s: %w", name, err)
		}
		return nil
	}
	if err := set("core dumps", unix.RLIMIT_CORE, 0, 0); err != nil {
		return err
	}
	if l.CPU > 0 { // the parent normally kills first and reports why; this limit applies if the parent cannot
		s := uint64((l.CPU + time.Second - 1) / time.Second)
		if err := set("processor time", unix.RLIMIT_CPU, s+1, s+2); err != nil {
			return err
		}
	}
	if l.Memory > 0 {
		if err := set("memory", unix.RLIMIT_DATA, uint64(l.Memory), uint64(l.Memory)); err != nil {
			return err
		}
	}
	if l.OpenFiles > 0 {
		if err := set("open files", unix.RLIMIT_NOFILE, l.OpenFiles, l.OpenFiles); err != nil {
			return err
		}
	}
	if l.FileSize > 0 {
		if err := set("file size", unix.RLIMIT_FSIZE, uint64(l.FileSize), uint64(l.FileSize)); err != nil {
			return err
		}
	}
	return nil
}
