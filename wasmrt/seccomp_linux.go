package wasmrt

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sysCall is a system call that a confined process may make.
// If it has tests, all of them must hold. Several entries with one number are alternatives.
type sysCall struct {
	nr    uint32
	tests []argTest
}

// An argTest holds if an argument, masked, equals one of the values.
type argTest struct {
	arg    int
	mask   uint64
	values []uint64
}

// asInt masks an argument of which the kernel reads only the lower 32 bits.
const asInt = 0xffffffff

// x32Bit is set in the call numbers of amd64's x32 entry.
const x32Bit = 0x40000000

// seccompSupported reports whether the kernel has seccomp filters and this architecture has a list of calls.
func seccompSupported() bool {
	if auditArch == 0 {
		return false
	}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0
}

// loadSeccomp irrevocably installs the filter for all threads of this process.
func loadSeccomp(network bool) error {
	f := assemble(allowedCalls(network, os.Getpid()))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case e != 0:
		return fmt.Errorf("load filter: %w", e)
	case thread != 0:
		return fmt.Errorf("load filter: thread %d cannot have it", thread)
	}
	return nil
}

// Offsets into the kernel's struct seccomp_data. Both architectures with a list are little endian.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// assemble returns the filter program.
// If a call uses the entry of another architecture, or of x32, the filter ends the process: numbers mean other calls there.
// If a call is not in the list, it returns ENOSYS, as on a kernel without the call, so that Go falls back where it can.
// If a call is in the list but no entry allows its arguments, it returns EPERM.
func assemble(calls []sysCall) []unix.SockFilter {
	var f []unix.SockFilter
	load := func(offset uint32) {
		f = append(f, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
	}
	jump := func(how uint16, k uint32, yes, no uint8) {
		f = append(f, unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no})
	}
	answer := func(action uint32) {
		f = append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action})
	}
	load(offsetArch)
	jump(unix.BPF_JEQ, auditArch, 1, 0)
	answer(unix.SECCOMP_RET_KILL_PROCESS)
	load(offsetNr)
	jump(unix.BPF_JGE, x32Bit, 0, 1)
	answer(unix.SECCOMP_RET_KILL_PROCESS)
	for i, c := range calls {
		load(offsetNr)
		next := len(f) // patched below to jump behind this entry
		jump(unix.BPF_JEQ, c.nr, 0, 0)
		fails := []int{next}
		for _, t := range c.tests {
			fails = append(fails, appendTest(&f, t)...)
		}
		answer(unix.SECCOMP_RET_ALLOW)
		for _, at := range fails {
			if len(f)-at > 255 {
				panic(fmt.Sprintf("wasmrt: the tests of call %d are longer than a jump", c.nr))
			}
			f[at].Jf = uint8(len(f) - at - 1)
		}
		if len(c.tests) > 0 && (i+1 == len(calls) || calls[i+1].nr != c.nr) {
			load(offsetNr)
			jump(unix.BPF_JEQ, c.nr, 0, 1)
			answer(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
		}
	}
	answer(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	return f
}

// appendTest appends one test and returns the instructions whose Jf must jump to the code for a failed test.
func appendTest(f *[]unix.SockFilter, t argTest) (fails []int) {
	add := func(i unix.SockFilter) { *f = append(*f, i) }
	half := func(offset, mask uint32) {
		add(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
		add(unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
	}
	low := uint32(offsetArgs + 8*t.arg)
	var passes []int
	for i, v := range t.values {
		half(low, uint32(t.mask))
		add(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(v), Jt: 0, Jf: 3})
		half(low+4, uint32(t.mask>>32))
		at := len(*f)
		add(unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(v >> 32)})
		if i+1 < len(t.values) {
			passes = append(passes, at)
			continue
		}
		// For the last value, a difference in either half fails the test.
		fails = append(fails, at-3, at)
	}
	for _, at := range passes {
		(*f)[at].Jt = uint8(len(*f) - at - 1)
	}
	return fails
}

// plain returns entries that allow the calls with any arguments.
func plain(numbers ...uint32) []sysCall {
	out := make([]sysCall, 0, len(numbers))
	for _, nr := range numbers {
		out = append(out, sysCall{nr: nr})
	}
	return out
}

// one returns a test that an argument has one of a few values.
func one(arg int, mask uint64, values ...uint64) argTest { return argTest{arg, mask, values} }
