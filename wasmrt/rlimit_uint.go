//go:build unix && !freebsd && !dragonfly

package wasmrt

import "golang.org/x/sys/unix"

func newRlimit(soft, hard uint64) unix.Rlimit { return unix.Rlimit{Cur: soft, Max: hard} }

func rlimitMax(l unix.Rlimit) uint64 { return l.Max }
