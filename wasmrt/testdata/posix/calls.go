package main

import (
	"os"
	"strings"
	"unsafe"
)

// The calls of module nuka for programs with processes, and those of WASI that Go's own library would make in another way.

//go:wasmexport __nuka_posix
func posix() {}

//go:wasmimport nuka fork
func nk_fork() int32

//go:wasmimport nuka exec2
func nk_exec(path *byte, n uint32, args *byte, na uint32, env *byte, ne uint32) int32

//go:wasmimport nuka spawn
func nk_spawn(path *byte, n uint32, args *byte, na uint32, env *byte, ne uint32, fds unsafe.Pointer, nfds uint32, cwd *byte, nc uint32) int32

//go:wasmimport nuka exit2
func nk_exit(status uint32)

//go:wasmimport nuka wait
func nk_wait(pid, options int32, result unsafe.Pointer) int32

//go:wasmimport nuka kill
func nk_kill(pid, signal int32) int32

//go:wasmimport nuka getpid
func nk_getpid() int32

//go:wasmimport nuka getppid
func nk_getppid() int32

//go:wasmimport nuka signals
func nk_signals(op uint32, value uint64) uint64

//go:wasmimport nuka sigsuspend
func nk_sigsuspend(mask uint64) int32

//go:wasmimport nuka pidfd
func nk_pidfd(pid int32) int32

//go:wasmimport nuka pipe
func nk_pipe(result unsafe.Pointer) int32

//go:wasmimport nuka dup
func nk_dup(fd, least, cloexec int32) int32

//go:wasmimport nuka dup2
func nk_dup2(fd, to, cloexec int32) int32

//go:wasmimport nuka cloexec
func nk_cloexec(fd, value int32) int32

//go:wasmimport nuka poll
func nk_poll(fds unsafe.Pointer, n uint32, ms int32) int32

//go:wasmimport nuka chdir
func nk_chdir(path *byte, n uint32) int32

//go:wasmimport nuka fchdir
func nk_fchdir(fd int32) int32

//go:wasmimport nuka getcwd
func nk_getcwd(buf *byte, n uint32) int32

//go:wasmimport nuka chmod
func nk_chmod(dir int32, path *byte, n, mode, follow uint32) int32

//go:wasmimport nuka setjmp
func nk_setjmp(buf uint32) int32

//go:wasmimport nuka longjmp
func nk_longjmp(buf, value uint32)

//go:wasmimport wasi_snapshot_preview1 fd_read
func fd_read(fd int32, iovs unsafe.Pointer, n uint32, got unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 fd_write
func fd_write(fd int32, iovs unsafe.Pointer, n uint32, put unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 fd_close
func fd_close(fd int32) int32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
func fd_setflags(fd int32, flags uint32) int32

//go:wasmimport wasi_snapshot_preview1 path_open
func path_open(dir int32, look uint32, path *byte, n, oflags uint32, rights, inherit uint64, flags uint32, fd unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
func path_stat(dir int32, look uint32, path *byte, n uint32, out unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
func path_times(dir int32, look uint32, path *byte, n uint32, atim, mtim uint64, flags uint32) int32

//go:wasmimport wasi_snapshot_preview1 path_readlink
func path_readlink(dir int32, path *byte, n uint32, buf *byte, size uint32, got unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 random_get
func random_get(p unsafe.Pointer, n uint32) int32

const (
	root = 0x7fffff00
	cwd  = 0x7fffff01

	eAgain  = 6
	eIntr   = 27
	ePipe   = 64
	sigPipe = 13
)

type iovec struct{ ptr, n uint32 }

// held keeps buffers on the heap, where they do not move.
var held []byte

func iov(b []byte) unsafe.Pointer {
	held = b
	return unsafe.Pointer(&iovec{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b))})
}

func read(fd int32, b []byte) (n int, e int32) {
	var got uint32
	e = fd_read(fd, iov(b), 1, unsafe.Pointer(&got))
	return int(got), e
}

func write(fd int32, s string) (n int, e int32) {
	b := []byte(s)
	var put uint32
	e = fd_write(fd, iov(b), 1, unsafe.Pointer(&put))
	return int(put), e
}

// say writes a line to a descriptor at once: the buffers of Go's library would be copied by fork.
func say(fd int32, s string) { write(fd, s+"\n") }

func readAll(fd int32) string {
	var out strings.Builder
	b := make([]byte, 5000)
	for {
		n, e := read(fd, b)
		if e == eIntr {
			continue
		}
		if n == 0 || e != 0 {
			return out.String()
		}
		out.Write(b[:n])
	}
}

func pipe() (r, w int32) {
	var fds [2]int32
	check("pipe", nk_pipe(unsafe.Pointer(&fds)))
	return fds[0], fds[1]
}

func wait(pid int32) (who, status int32, e int32) {
	var r [2]int32
	for {
		if e = nk_wait(pid, 0, unsafe.Pointer(&r)); e != eIntr {
			return r[0], r[1], e
		}
	}
}

func flat(list []string) (*byte, uint32) {
	s := strings.Join(list, "\x00") + "\x00"
	if len(list) == 0 {
		return nil, 0
	}
	return unsafe.StringData(s), uint32(len(s))
}

func exec(path string, args ...string) int32 {
	a, na := flat(args)
	e, ne := flat(os.Environ())
	return nk_exec(unsafe.StringData(path), uint32(len(path)), a, na, e, ne)
}

func spawn(path string, fds [][2]int32, args ...string) int32 {
	a, na := flat(args)
	e, ne := flat(os.Environ())
	return nk_spawn(unsafe.StringData(path), uint32(len(path)), a, na, e, ne, unsafe.Pointer(unsafe.SliceData(fds)), uint32(len(fds)), nil, 0)
}

func open(name string, oflags uint32, write bool) (int32, int32) {
	rights := uint64(2)
	if write {
		rights = 64
	}
	dir, name := at(name)
	var fd int32
	e := path_open(dir, 1, unsafe.StringData(name), uint32(len(name)), oflags, rights, 0, 0, unsafe.Pointer(&fd))
	return fd, e
}

func at(name string) (int32, string) {
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		return root, rest
	}
	return cwd, name
}

func create(name, content string) {
	fd, e := open(name, 1|8, true)
	check("create "+name, e)
	write(fd, content)
	fd_close(fd)
}

// stat returns the mode that the kernel puts into the padding, and the time in seconds.
func stat(name string) (mode uint16, mtime uint64, e int32) {
	var b [64]byte
	dir, name := at(name)
	e = path_stat(dir, 1, unsafe.StringData(name), uint32(len(name)), unsafe.Pointer(&b))
	return *(*uint16)(unsafe.Pointer(&b[18])), *(*uint64)(unsafe.Pointer(&b[48])) / 1e9, e
}

func check(what string, e int32) {
	if e != 0 {
		say(2, what+": errno "+itoa(int64(e)))
		nk_exit(99 << 8)
	}
}

func itoa(n int64) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}
