package main

import (
	"os"
	"unsafe"
)

//go:wasmimport wasi_snapshot_preview1 sock_accept
func sock_accept(fd, flags int32, result unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 sock_recv
func sock_recv(fd int32, iovs unsafe.Pointer, n uint32, flags int32, got, oflags unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 sock_send
func sock_send(fd int32, iovs unsafe.Pointer, n uint32, flags int32, put unsafe.Pointer) int32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
func sock_shutdown(fd, how int32) int32

func accept(fd, flags int32) (c, e int32) {
	e = sock_accept(fd, flags, unsafe.Pointer(&c))
	return c, e
}

func recv(fd int32, b []byte, flags int32) (n, e int32) {
	var out int32
	e = sock_recv(fd, iov(b), 1, flags, unsafe.Pointer(&n), unsafe.Pointer(&out))
	return n, e
}

func send(fd int32, s string) (n, e int32) {
	e = sock_send(fd, iov([]byte(s)), 1, 0, unsafe.Pointer(&n))
	return n, e
}

func init() {
	// Each connection is served by a fork, while the first process waits for the next.
	acts["forkserver"] = func(args []string) {
		say(1, "pid "+itoa(int64(b2i(os.Getenv("LISTEN_PID") == itoa(int64(nk_getpid())))))+", fds "+os.Getenv("LISTEN_FDS")+" "+os.Getenv("LISTEN_FDNAMES"))
		for range int(args[0][0] - '0') {
			c, e := accept(3, 0)
			check("accept", e)
			if nk_fork() == 0 {
				b := make([]byte, 64)
				n, e := recv(c, b, 1)
				check("peek", e)
				m, e := recv(c, b, 0)
				check("recv", e)
				if n != m {
					say(1, "peek "+itoa(int64(n))+", recv "+itoa(int64(m)))
				}
				_, e = send(c, "got "+string(b[:m]))
				check("send", e)
				check("shutdown", sock_shutdown(c, 2))
				left, e := read(c, b)
				say(1, "then "+itoa(int64(left))+" "+itoa(int64(e)))
				nk_exit(0)
			}
			fd_close(c)
		}
		for {
			if _, _, e := wait(-1); e != 0 {
				break
			}
		}
	}
	acts["sockpoll"] = func([]string) {
		fd_setflags(3, 4)
		_, e := accept(3, 0)
		say(1, "nothing yet: "+itoa(int64(e)))
		fds := [8]byte{3, 0, 0, 0, 1, 0}
		say(1, "poll 0: "+itoa(int64(nk_poll(unsafe.Pointer(&fds), 1, 0))))
		say(1, "poll: "+itoa(int64(nk_poll(unsafe.Pointer(&fds), 1, -1))))
		c, e := accept(3, 0)
		say(1, "accept: "+itoa(int64(e)))
		for i := 0; i < 1<<20; { // more than the buffers of the system hold; a write waits
			n, e := write(c, string(make([]byte, 1<<16)))
			check("write", e)
			i += int(n)
		}
		fd_close(c)
	}
	acts["sockwrong"] = func([]string) {
		b := make([]byte, 8)
		_, e1 := accept(1, 0)
		_, e2 := accept(99, 0)
		_, e3 := accept(3, 1)
		_, e4 := recv(3, b, 0)
		_, e5 := send(3, "x")
		_, e6 := recv(1, b, 0)
		e7 := sock_accept(3, 0, unsafe.Pointer(uintptr(0xfffffff0)))
		say(1, "errnos "+itoa(int64(e1))+" "+itoa(int64(e2))+" "+itoa(int64(e3))+" "+itoa(int64(e4))+" "+itoa(int64(e5))+" "+itoa(int64(e6))+" "+itoa(int64(sock_shutdown(3, 1)))+" "+itoa(int64(sock_shutdown(3, 9)))+" "+itoa(int64(e7)))
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
