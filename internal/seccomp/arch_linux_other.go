//go:build linux && !amd64 && !arm64

package seccomp

// Arch is the kernel's name of this architecture's system calls. It is 0 where this package cannot assemble filters.
const Arch = 0
