package wasmrt

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// archCalls lists the calls that Go or a C library makes on this architecture only.
var archCalls []uint32
