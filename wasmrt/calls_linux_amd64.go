package wasmrt

import "golang.org/x/sys/unix"

// archCalls lists the calls that Go or a C library makes on this architecture only.
var archCalls = []uint32{unix.SYS_EPOLL_WAIT, unix.SYS_TIME, unix.SYS_ARCH_PRCTL}
