package wasmrt

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// archCalls are what Go or a C library calls on this architecture alone.
var archCalls []uint32
