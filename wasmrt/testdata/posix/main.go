// Command posix is a program with processes for the tests of package wasmrt. Its first argument says what it does.
package main

import (
	"os"
	"strings"
	"unsafe"
)

var acts = map[string]func(args []string){}

func main() {
	for fd := int32(0); fd < 3; fd++ {
		fd_setflags(fd, 0) // Go's library lets no read of a pipe wait
	}
	args := os.Args[1:]
	if len(args) == 0 {
		say(2, "nothing to do")
		nk_exit(2 << 8)
	}
	act := acts[args[0]]
	if act == nil {
		say(2, "unknown act "+args[0])
		nk_exit(2 << 8)
	}
	act(args[1:])
	nk_exit(0)
}

// me runs this program once more, with other arguments.
func me(args ...string) int32 { return exec(os.Args[0], append([]string{os.Args[0]}, args...)...) }

func init() {
	acts["echo"] = func(args []string) { say(1, strings.Join(args, " ")) }
	acts["cat"] = func([]string) { write(1, readAll(0)) }
	acts["true"] = func([]string) {}
	acts["exit"] = func(args []string) { nk_exit(uint32(args[0][0]-'0') << 8) }
	acts["trap"] = func(args []string) { trap(args[0]) }
	acts["env"] = func(args []string) { say(1, os.Getenv(args[0])) }
	acts["fork"] = func([]string) {
		x := 41
		pid := nk_fork()
		if pid == 0 {
			x++
			say(1, "child: x "+itoa(int64(x)))
			nk_exit(3 << 8)
		}
		who, status, _ := wait(pid)
		say(1, "parent: x "+itoa(int64(x))+", the child's "+itoa(int64(who-pid))+", status "+itoa(int64(status)))
		_, _, e := wait(-1)
		say(1, "no child: errno "+itoa(int64(e)))
	}
	// The child writes more than a pipe holds, and only its parent reads.
	acts["big"] = func([]string) {
		r, w := pipe()
		if nk_fork() == 0 {
			fd_close(r)
			n, e := write(w, strings.Repeat("a", 200_000))
			say(2, "wrote "+itoa(int64(n))+" "+itoa(int64(e)))
			nk_exit(0)
		}
		fd_close(w)
		say(1, itoa(int64(len(readAll(r)))))
		wait(-1)
	}
	acts["nest"] = func([]string) {
		if nk_fork() == 0 {
			if nk_fork() == 0 {
				say(1, "grandchild")
				nk_exit(0)
			}
			wait(-1)
			say(1, "child")
			nk_exit(0)
		}
		wait(-1)
		say(1, "parent")
	}
	// self prints the path of the program, which its child finds too.
	acts["self"] = func([]string) {
		pid := nk_fork()
		if pid > 0 {
			wait(pid)
		}
		name, b, got := []byte("proc/self/exe"), make([]byte, 100), uint32(0)
		check("readlink", path_readlink(root, &name[0], uint32(len(name)), &b[0], uint32(len(b)), unsafe.Pointer(&got)))
		say(1, string(b[:got]))
	}
	acts["exec"] = func(args []string) { check("exec", exec(args[0], args...)) }
	// pipeline runs its arguments as programs, separated by "|", as a shell does.
	acts["pipeline"] = func(args []string) { os.Exit(pipeline(strings.Join(args, "\x00"))) }
	acts["sigpipe"] = func([]string) {
		r, w := pipe()
		started, start := pipe()
		pid := nk_fork()
		if pid == 0 {
			fd_close(r)
			fd_close(start)
			readAll(started)
			_, e := write(w, "x")
			nk_exit(uint32(e) << 8)
		}
		fd_close(r)
		fd_close(start)
		_, status, _ := wait(pid)
		say(1, "errno "+itoa(int64(status>>8)))
	}
	acts["signal"] = func([]string) {
		nk_signals(1, 1<<10)
		parent := nk_getpid()
		pid := nk_fork()
		if pid == 0 {
			nk_kill(parent, 10)
			nk_sigsuspend(0) // until the parent kills it
			nk_exit(1 << 8)
		}
		e := nk_sigsuspend(0)
		say(1, "suspend "+itoa(int64(e))+", signal "+itoa(int64(nk_signals(0, 0)))+", then "+itoa(int64(nk_signals(0, 0))))
		nk_kill(pid, 15)
		_, status, _ := wait(pid)
		say(1, "status "+itoa(int64(status)))
	}
	acts["jump"] = func([]string) {
		const buf = 64
		n := new(int32)
		r := nk_setjmp(buf)
		*n++
		say(1, "set "+itoa(int64(r))+" time "+itoa(int64(*n)))
		if r < 3 {
			deep(20, func() { nk_longjmp(buf, uint32(r+1)) })
		}
		if pid := nk_fork(); pid == 0 {
			if r == 3 {
				nk_longjmp(buf, 7)
			}
			nk_exit(0)
		} else {
			wait(pid)
		}
		say(1, "end "+itoa(int64(r)))
	}
	acts["trapchild"] = func(args []string) {
		if pid := nk_fork(); pid == 0 {
			trap(args[0])
		} else {
			_, status, _ := wait(pid)
			say(1, "status "+itoa(int64(status)))
		}
	}
	acts["files"] = func([]string) {
		mode, at, _ := stat("old")
		say(1, "old "+itoa(int64(mode))+" "+itoa(int64(at)))
		create("new", "x")
		name := "new"
		nk_chmod(cwd, unsafe.StringData(name), 3, 0o755, 1)
		mode, at, _ = stat("new")
		say(1, "new "+itoa(int64(mode))+" "+itoa(int64(at)))
		path_times(cwd, 1, unsafe.StringData(name), 3, 0, 315532800e9, 4)
		_, at, _ = stat("new")
		say(1, "set back "+itoa(int64(at)))
		path_times(cwd, 1, unsafe.StringData(name), 3, 0, 0, 8)
		_, at, _ = stat("new")
		say(1, "touched "+itoa(int64(at)))
		b := make([]byte, 100)
		n := nk_getcwd(&b[0], 100)
		say(1, string(b[:n]))
		up := ".."
		say(1, "chdir "+itoa(int64(nk_chdir(unsafe.StringData(up), 2))))
		n = nk_getcwd(&b[0], 100)
		say(1, string(b[:n]))
		_, _, e := stat("build/new")
		say(1, "relative "+itoa(int64(e)))
	}
	acts["pidfd"] = func([]string) {
		held, end := pipe()
		pid := nk_fork()
		if pid == 0 {
			fd_close(end)
			readAll(held)
			nk_exit(7 << 8)
		}
		fd := nk_pidfd(pid)
		fds := []int32{fd, 1}
		say(1, "running "+itoa(int64(nk_poll(unsafe.Pointer(&fds[0]), 1, 0)))+" "+itoa(int64(nk_cloexec(fd, -1))))
		fd_close(end)
		say(1, "read "+itoa(int64(len(readAll(fd)))))
		ended := nk_pidfd(pid)
		say(1, "ended "+itoa(int64(len(readAll(ended)))))
		_, status, _ := wait(pid)
		say(1, "status "+itoa(int64(status))+", then "+itoa(int64(nk_pidfd(pid)))+", own "+itoa(int64(nk_pidfd(nk_getpid()))))
		fd_close(fd)
		fd_close(ended)
		r, _ := pipe()
		say(1, "lowest "+itoa(int64(r)))
	}
	acts["descriptors"] = func([]string) {
		r, w := pipe()
		say(1, "pipe "+itoa(int64(r))+" "+itoa(int64(w)))
		d := nk_dup(w, 10, 1)
		say(1, "dup "+itoa(int64(d))+" cloexec "+itoa(int64(nk_cloexec(d, -1)))+" "+itoa(int64(nk_cloexec(w, -1))))
		say(1, "dup2 "+itoa(int64(nk_dup2(w, 7, 0))))
		check("exec", me("which"))
	}
	acts["which"] = func([]string) {
		var open []string
		for fd := int32(0); fd < 20; fd++ {
			if d := nk_dup(fd, 100, 0); d >= 0 {
				fd_close(d)
				open = append(open, itoa(int64(fd)))
			}
		}
		say(1, "open: "+strings.Join(open, " "))
	}
}

func pipeline(line string) int {
	in := int32(0)
	list := strings.Split(line, "\x00|\x00")
	var last int32
	for i, c := range list {
		next, out := int32(-1), int32(1)
		if i < len(list)-1 {
			next, out = pipe()
		}
		last = nk_fork()
		if last == 0 {
			nk_dup2(in, 0, 0)
			nk_dup2(out, 1, 0)
			for fd := int32(3); fd < 10; fd++ {
				fd_close(fd)
			}
			args := strings.Split(c, "\x00")
			e := exec("/bin/"+args[0], args...)
			say(2, args[0]+": errno "+itoa(int64(e)))
			nk_exit(127 << 8)
		}
		if in > 2 {
			fd_close(in)
		}
		if out > 2 {
			fd_close(out)
		}
		in = next
	}
	status := int32(0)
	for range list {
		who, s, e := wait(-1)
		check("wait", e)
		if who == last {
			status = s
		}
	}
	if s := status & 0x7f; s != 0 {
		return int(128 + s)
	}
	return int(status >> 8)
}

var zero int32

// trap ends the process by a trap of WebAssembly. Go checks its own divisions, so that the calls of the kernel help.
func trap(kind string) {
	switch kind {
	case "jump":
		nk_longjmp(12345, 1)
	case "nil":
		deep(1<<30, func() {})
	}
}

//go:noinline
func deep(n int, then func()) int {
	var pad [64]byte
	pad[n%64] = 1
	if n == 0 {
		then()
		return 0
	}
	return deep(n-1, then) + int(pad[0])
}
