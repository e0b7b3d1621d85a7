package seccomp

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An Action is what the kernel does with a system call.
type Action uint32

// Allow executes the call. Kill ends the process with SIGSYS.
const (
	Allow Action = unix.SECCOMP_RET_ALLOW
	Kill  Action = unix.SECCOMP_RET_KILL_PROCESS
)

// Errno returns the action that answers a call with an error and does not execute it.
func Errno(e unix.Errno) Action { return Action(unix.SECCOMP_RET_ERRNO | uint32(e)) }

// A Rule gives the action for a call whose tests all hold. The first matching rule of a filter counts.
type Rule struct {
	Call   uint32
	Tests  []Test
	Action Action
}

// A Test holds if an argument, masked, equals one of the values.
type Test struct {
	Arg    int
	Mask   uint64
	Values []uint64
}

// Int masks an argument of which the kernel reads only the lower 32 bits. A test without it can be evaded with the upper ones.
const Int = 0xffffffff

// One returns a test that an argument has one of a few values.
func One(arg int, mask uint64, values ...uint64) Test { return Test{arg, mask, values} }

// A Filter decides about each system call of a process.
type Filter struct {
	Rules     []Rule
	Otherwise Action // for calls that no rule matches
	X32       Action // for calls through amd64's x32 entry
	Newest    uint32 // calls with greater numbers return ENOSYS, as on a kernel without them; 0 stands for no limit
}

// x32Bit is set in the call numbers of amd64's x32 entry.
const x32Bit = 0x40000000

// Supported reports whether the kernel has seccomp filters and this package knows the architecture.
func Supported() bool {
	if Arch == 0 {
		return false
	}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	return e == 0
}

// Load irrevocably installs the filter for all threads of this process, and forbids it new privileges.
func (f *Filter) Load() error {
	code := f.assemble()
	// The kernel asks the calling thread for the promise of no new privileges, which belongs to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	thread, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case e != 0:
		return fmt.Errorf("load filter: %w", e)
	case thread != 0:
		return fmt.Errorf("load filter: thread %d cannot have it", thread)
	}
	return nil
}

// Offsets into the kernel's struct seccomp_data. Both architectures are little endian.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// assemble returns the filter program. If a call uses the entry of another architecture, the filter ends the process: numbers mean other calls there.
func (f *Filter) assemble() []unix.SockFilter {
	c := make(code, 0, 4*len(f.Rules)+16)
	c.load(offsetArch)
	c.jump(unix.BPF_JEQ, Arch, 1, 0)
	c.answer(Kill)
	c.load(offsetNr)
	c.jump(unix.BPF_JGE, x32Bit, 0, 1)
	c.answer(f.X32)
	if f.Newest != 0 {
		c.jump(unix.BPF_JGT, f.Newest, 0, 1)
		c.answer(Errno(unix.ENOSYS))
	}
	loaded := true // whether the accumulator holds the number of the call
	for _, r := range f.Rules {
		if !loaded {
			c.load(offsetNr)
		}
		fails := []int{len(c)}
		c.jump(unix.BPF_JEQ, r.Call, 0, 0)
		for _, t := range r.Tests {
			fails = append(fails, c.test(t)...)
		}
		c.answer(r.Action)
		for _, at := range fails {
			if len(c)-at > 255 {
				panic(fmt.Sprintf("seccomp: the tests of call %d are longer than a jump", r.Call))
			}
			c[at].Jf = uint8(len(c) - at - 1)
		}
		loaded = len(r.Tests) == 0
	}
	c.answer(f.Otherwise)
	return c
}

// code is a filter program.
type code []unix.SockFilter

func (c *code) add(i unix.SockFilter) { *c = append(*c, i) }

func (c *code) load(offset uint32) {
	c.add(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset})
}

func (c *code) jump(how uint16, k uint32, yes, no uint8) {
	c.add(unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no})
}

func (c *code) answer(a Action) {
	c.add(unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(a)})
}

// test appends one test and returns the instructions whose Jf must jump to the code for a failed test.
func (c *code) test(t Test) (fails []int) {
	half := func(offset, mask uint32) {
		c.load(offset)
		c.add(unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: mask})
	}
	low := uint32(offsetArgs + 8*t.Arg)
	var passes []int
	for i, v := range t.Values {
		half(low, uint32(t.Mask))
		c.jump(unix.BPF_JEQ, uint32(v), 0, 3)
		half(low+4, uint32(t.Mask>>32))
		at := len(*c)
		c.jump(unix.BPF_JEQ, uint32(v>>32), 0, 0)
		if i+1 < len(t.Values) {
			passes = append(passes, at)
			continue
		}
		// For the last value, a difference in either half fails the test.
		fails = append(fails, at-3, at)
	}
	for _, at := range passes {
		(*c)[at].Jt = uint8(len(*c) - at - 1)
	}
	return fails
}
