package wasmrt

import (
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/internal/seccomp"
)

// A sysCall is a system call that a confined process may make.
// If it has tests, all of them must hold. Several entries with one number are alternatives.
type sysCall struct {
	nr    uint32
	tests []seccomp.Test
}

// asInt masks an argument of which the kernel reads only the lower 32 bits.
const asInt = seccomp.Int

// loadSeccomp irrevocably installs the filter for all threads of this process.
func loadSeccomp(network bool, self int) error {
	return workerFilter(allowedCalls(network, self)).Load()
}

// workerFilter returns the filter that allows the calls.
// If a call uses x32, the filter ends the process: numbers mean other calls there.
// If a call is not in the list, it returns ENOSYS, as on a kernel without the call, so that Go falls back where it can.
// If a call is in the list but no entry allows its arguments, it returns EPERM.
func workerFilter(calls []sysCall) *seccomp.Filter {
	f := &seccomp.Filter{Otherwise: seccomp.Errno(unix.ENOSYS), X32: seccomp.Kill}
	for i, c := range calls {
		f.Rules = append(f.Rules, seccomp.Rule{Call: c.nr, Tests: c.tests, Action: seccomp.Allow})
		if len(c.tests) > 0 && (i+1 == len(calls) || calls[i+1].nr != c.nr) {
			f.Rules = append(f.Rules, seccomp.Rule{Call: c.nr, Action: seccomp.Errno(unix.EPERM)})
		}
	}
	return f
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
func one(arg int, mask uint64, values ...uint64) seccomp.Test {
	return seccomp.One(arg, mask, values...)
}
