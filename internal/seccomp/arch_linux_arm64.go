package seccomp

import "golang.org/x/sys/unix"

// Arch is the kernel's name of this architecture's system calls. It is 0 where this package cannot assemble filters.
const Arch = unix.AUDIT_ARCH_AARCH64
