package main

import (
	"os"
	"strings"
	"unsafe"
)

// Acts that do harm, or wait for ever.
func init() {
	acts["selfread"] = func([]string) {
		r, _ := pipe()
		readAll(r)
	}
	acts["selfwrite"] = func([]string) {
		_, w := pipe()
		write(w, strings.Repeat("a", 100_000))
	}
	// Two processes that read what the other one would write.
	acts["crossread"] = func([]string) {
		r1, w1 := pipe()
		r2, w2 := pipe()
		if nk_fork() == 0 {
			readAll(r1)
			write(w2, "x")
			nk_exit(0)
		}
		readAll(r2)
		write(w1, "x")
	}
	// A child in another instance reads from a pipe that its parent has open, who waits for it.
	acts["waitread"] = func([]string) {
		r, _ := pipe()
		pid := spawn("/bin/posix", [][2]int32{{0, r}}, "posix", "cat")
		wait(pid)
	}
	acts["pollforever"] = func([]string) {
		r, _ := pipe()
		poll(-1, r)
	}
	// A poll with a limit passes when nothing else can run, without taking time.
	acts["polltime"] = func([]string) {
		r, w := pipe()
		say(1, itoa(int64(poll(100_000_000, r))))
		if nk_fork() == 0 {
			poll(3000, r)
			say(1, "late")
			nk_exit(0)
		}
		poll(2000, r)
		say(1, "early")
		write(w, "x")
		say(1, itoa(int64(poll(1000, r))))
		wait(-1)
	}
	acts["forever"] = func([]string) { nk_sigsuspend(0) }
	// Programs and forks that all wait, until somebody ends the command.
	acts["crowd"] = func([]string) {
		for range 3 {
			spawn("/bin/posix", nil, "posix", "spin")
			if nk_fork() == 0 {
				acts["spin"](nil)
			}
		}
		say(1, "ready")
		acts["spin"](nil)
	}
	// spin makes calls for ever, some of which wait.
	acts["spin"] = func([]string) {
		r, w := pipe()
		for {
			poll(10, r)
			write(w, "x")
			var b [1]byte
			read(r, b[:])
		}
	}
	// A child that is a program without processes does not keep the pipe open that it has not asked for.
	acts["leak"] = func([]string) {
		r, w := pipe()
		in, hold := pipe()
		if nk_fork() == 0 {
			nk_dup2(in, 0, 0)
			fd_close(hold)
			check("exec", exec("/bin/guest", "guest", "stdin"))
		}
		fd_close(w)
		fd_close(in)
		say(1, "read "+itoa(int64(len(readAll(r)))))
		fd_close(hold)
		wait(-1)
	}
	acts["strangers"] = func(args []string) {
		var out []string
		for _, pid := range []int32{1, 0, -1, -2, 1581493, 4194304, -2147483648} {
			out = append(out, itoa(int64(nk_kill(pid, 9))))
		}
		say(1, strings.Join(out, " ")+" "+itoa(int64(nk_kill(nk_getpid(), 64)))+" "+itoa(int64(nk_kill(nk_getpid(), 0))))
	}
	// The program file is replaced while it runs.
	acts["replace"] = func([]string) {
		in, hold := pipe()
		pid := spawn("./prog", [][2]int32{{0, in}, {in, -1}, {hold, -1}}, "prog", "cat")
		fd_close(in)
		create("prog", "no program")
		say(1, "exec "+itoa(int64(spawn("./prog", nil, "prog", "echo", "x"))))
		write(hold, "still here\n")
		fd_close(hold)
		_, status, _ := wait(pid)
		say(1, "status "+itoa(int64(status)))
	}
	// A process traps whose children share its memory: they go on, and so does its parent.
	acts["trapmiddle"] = func([]string) {
		r, w := pipe()
		ended, end := pipe()
		if nk_fork() == 0 {
			if nk_fork() == 0 {
				var b [1]byte
				read(r, b[:])
				say(1, "grandchild goes on")
				nk_exit(0)
			}
			nk_longjmp(77, 1)
		}
		_, status, _ := wait(-1)
		say(1, "status "+itoa(int64(status)))
		write(w, "x")
		fd_close(end)
		readAll(ended)
	}
	acts["flood"] = func([]string) {
		if nk_fork() == 0 {
			for {
				write(1, strings.Repeat("a", 10_000))
			}
		}
		wait(-1)
	}
	// A signal interrupts a write that has put some of its bytes.
	acts["interrupt"] = func([]string) {
		r, w := pipe()
		empty, _ := pipe()
		nk_signals(1, 1<<10)
		parent := nk_getpid()
		if nk_fork() == 0 {
			fd_close(w)
			poll(1000, r)
			nk_kill(parent, 10)
			poll(1000, empty)
			say(1, "read "+itoa(int64(len(readAll(r)))))
			nk_exit(0)
		}
		n, e := write(w, strings.Repeat("a", 100_000))
		say(1, "wrote "+itoa(int64(n))+" "+itoa(int64(e))+" signal "+itoa(int64(nk_signals(0, 0))))
		fd_close(w)
		wait(-1)
	}
	// A signal without a handler ends a process that waits, and one that runs no calls is only ended by its next one.
	acts["killed"] = func([]string) {
		pid := nk_fork()
		if pid == 0 {
			nk_sigsuspend(0)
		}
		sleeper := spawn("/bin/posix", nil, "posix", "forever")
		nk_kill(pid, 15)
		nk_kill(sleeper, 9)
		_, s1, _ := wait(pid)
		_, s2, _ := wait(sleeper)
		say(1, itoa(int64(s1))+" "+itoa(int64(s2)))
	}
	// work is a small build: programs in parallel that write files, as make -j does.
	acts["work"] = func(args []string) {
		running := 0
		for i := range 12 {
			if running == 3 {
				wait(-1)
				running--
			}
			name := "f" + itoa(int64(i))
			if nk_fork() == 0 {
				fd, _ := open(name, 1|8, true)
				nk_dup2(fd, 1, 0)
				check("exec", exec("/bin/posix", "posix", "object", name))
			}
			running++
		}
		for running > 0 {
			wait(-1)
			running--
		}
	}
	acts["object"] = func(args []string) {
		var b [8]byte
		random_get(unsafe.Pointer(&b), 8)
		mode, at, _ := stat(args[0])
		say(1, args[0]+" "+itoa(int64(mode))+" "+itoa(int64(at))+" "+itoa(int64(b[0]))+" "+os.Getenv("X"))
	}
	// A process reads from outside while its child, who shares its memory, goes on.
	acts["stdin"] = func([]string) {
		r, w := pipe()
		if nk_fork() == 0 {
			fd_close(w)
			readAll(r)
			say(1, "the child goes on")
			nk_exit(0)
		}
		fd_close(w)
		say(1, "got "+readAll(0))
		wait(-1)
	}
	acts["nukaexec"] = func([]string) {
		check("exec", exec("/bin/guest", "guest", "exec", "posix", "pipeline", "posix", "echo", "a", "|", "posix", "cat"))
	}
}

func poll(ms int32, fds ...int32) int32 {
	list := make([]uint64, len(fds))
	for i, fd := range fds {
		list[i] = uint64(uint32(fd)) | 1<<32
	}
	return nk_poll(unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list)), ms)
}
