//go:build freebsd || dragonfly

package wasmrt

import "golang.org/x/sys/unix"

func newRlimit(soft, hard uint64) unix.Rlimit { return unix.Rlimit{Cur: int64(soft), Max: int64(hard)} }

func rlimitMax(l unix.Rlimit) uint64 { return uint64(l.Max) }
