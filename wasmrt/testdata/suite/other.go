package main

import (
	"encoding/binary"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

func init() {
	cases["dir_fd_op_failures"] = func(d int32) {
		same(statOf(d).kind, typeDir, "type")
		var pre [8]byte
		ok(fd_prestat_get(3, unsafe.Pointer(&pre)), "prestat")
		n := binary.LittleEndian.Uint32(pre[4:])
		name := make([]byte, n+1)
		fails(fd_prestat_dir_name(3, unsafe.Pointer(&name[0]), 0), "no room for the name", inval, nametoolong)
		ok(fd_prestat_dir_name(3, unsafe.Pointer(&name[0]), n+1), "more room than needed")
		b := make([]byte, 128)
		p := unsafe.Pointer(&n)
		want := []errno{isdir, badf, notcapable}
		fails(fd_read(d, iov(b), 1, p), "read", want...)
		fails(fd_pread(d, iov(b), 1, 0, p), "pread", want...)
		fails(fd_write(d, iov(b), 1, p), "write", want...)
		fails(fd_pwrite(d, iov(b), 1, 0, p), "pwrite", want...)
		for whence := range uint32(3) {
			_, e := seek(d, 0, whence)
			fails(e, "seek", want...)
		}
		fails(fd_tell(d, unsafe.Pointer(&pre)), "tell", want...)
		fails(fd_allocate(d, 0, 1), "allocate", want...)
		fails(fd_filestat_set_size(d, 0), "set size", append(want, inval)...)
	}
	cases["directory_seek"] = func(d int32) {
		mkdir(d, "dir")
		f := open(d, "dir", oDirectory, rSeek, 0)
		_, e := seek(f, 0, 1)
		fails(e, "seek", isdir, notcapable, badf)
		same(mustFdstat(f).kind, typeDir, "type")
		same(mustFdstat(f).base&rSeek, 0, "right to seek")
	}
	cases["fd_readdir"] = func(d int32) {
		list, end := readdir(d, 0, 256)
		same(end, true, "end")
		same(names(list), ". ..", "names")
		same(list[0].ino, statOf(d).ino, "inode of .")
		same(list[1].ino, statOf(3).ino, "inode of ..")
		same(list[0].kind, typeDir, "type of .")
		f := open(d, "file", oCreat, rRead|rWrite, 0)
		list, _ = readdir(d, 0, 256)
		same(names(list), ". .. file", "names")
		same(list[2].kind, typeFile, "type")
		same(list[2].ino, statOf(f).ino, "inode")
		last, _ := readdir(d, list[1].next, 256)
		same(names(last), "file", "names from a cookie")
		for _, cookie := range []uint64{list[2].next, 1000, 1<<64 - 1} {
			none, end := readdir(d, cookie, 256)
			same(len(none), 0, "names behind the end")
			same(end, true, "end")
		}
		unlink(d, "file")
		for i := range 1000 {
			create(d, "file."+strconv.Itoa(i))
		}
		var all []string
		for cookie, end := uint64(0), false; !end; {
			list, end = readdir(d, cookie, 256)
			for _, e := range list {
				all, cookie = append(all, e.name), e.next
			}
		}
		same(len(all), 1002, "names")
		slices.Sort(all)
		same(len(slices.Compact(all)), 1002, "different names")
		// wasi-testsuite does not test this: both names of a file show one inode number.
		ok(path_link(d, 0, "file.1", d, "file.0.link"), "link")
		ino := pathStat(d, 0, "file.1").ino
		list, _ = readdir(d, 0, 1<<20)
		for _, e := range list {
			if e.name == "file.1" || e.name == "file.0.link" {
				same(e.ino, ino, "inode of "+e.name)
			}
		}
	}
	cases["poll_oneoff_stdio"] = func(int32) {
		sub := func(user uint64, kind byte, fd uint32, wait uint64) []byte {
			b := make([]byte, 48)
			binary.LittleEndian.PutUint64(b, user)
			b[8] = kind
			binary.LittleEndian.PutUint32(b[16:], fd)
			binary.LittleEndian.PutUint64(b[24:], wait)
			return b
		}
		poll := func(subs ...[]byte) (users []uint64) {
			in, out := slices.Concat(subs...), make([]byte, 32*len(subs))
			var n uint32
			ok(poll_oneoff(unsafe.Pointer(&in[0]), unsafe.Pointer(&out[0]), uint32(len(subs)), unsafe.Pointer(&n)), "poll")
			for i := range n {
				e := out[i*32:]
				users = append(users, binary.LittleEndian.Uint64(e))
				same(binary.LittleEndian.Uint16(e[8:]), 0, "error of an event")
			}
			return users
		}
		const wait = 50_000_000
		want := os.Args[2] // the expected state of standard input
		got := poll(sub(7, 0, 1, wait), sub(8, 1, 0, 0))
		same(strings.TrimSpace(strings.Join([]string{map[uint64]string{7: "clock", 8: "stdin"}[got[0]]}, " ")), want, "first event")
		got = poll(sub(1, 2, 1, 0), sub(2, 2, 2, 0), sub(7, 0, 1, wait))
		slices.Sort(got)
		same(slices.Equal(got, []uint64{1, 2}), true, "both outputs can be written")
		got = poll(sub(7, 0, 1, 1<<63), sub(9, 0, 1, wait)) // a wait that does not fit a signed number
		same(slices.Equal(got, []uint64{9}), true, "the shorter wait")
		fails(poll_oneoff(nil, nil, 0, unsafe.Pointer(new(uint32))), "poll of nothing", inval)
	}
	cases["isatty"] = func(d int32) { // wasi-libc's rule: a terminal is a character device that cannot seek
		f := open(d, "file", oCreat, 0, 0)
		for _, fd := range []int32{f, d, 0, 1} {
			same(mustFdstat(fd).kind == 2, false, "a terminal")
		}
		same(mustFdstat(f).base&rSeek, rSeek, "a file that can seek")
	}
	cases["sockets"] = func(d int32) {
		fails(sock_shutdown(1, 1), "shutdown of no socket", notsock)
		fails(sock_shutdown(d, 1), "shutdown of a folder", notsock)
		fails(sock_shutdown(99, 1), "shutdown of no descriptor", badf)
	}
	cases["clocks"] = func(int32) {
		for id := range uint32(2) {
			var res, one, two uint64
			ok(clock_res_get(id, unsafe.Pointer(&res)), "resolution")
			same(res > 0, true, "a resolution")
			ok(clock_time_get(id, 1, unsafe.Pointer(&one)), "time")
			ok(sched_yield(), "yield")
			ok(clock_time_get(id, 0, unsafe.Pointer(&two)), "time")
			same(one > 0 && one <= two, true, "time goes on")
		}
		fails(clock_res_get(4, unsafe.Pointer(new(uint64))), "no such clock", inval)
		fails(clock_time_get(4, 0, unsafe.Pointer(new(uint64))), "no such clock", inval)
	}
	cases["random"] = func(int32) {
		b := make([]byte, 1024)
		ok(random_get(unsafe.Pointer(&b[0]), 1024), "random")
		same(string(b) != strings.Repeat("\x00", 1024), true, "random bytes")
		ok(random_get(unsafe.Pointer(&b[0]), 0), "no bytes")
	}
	cases["args"] = func(int32) {
		list := func(sizes, get func(a, b unsafe.Pointer) errno) []string {
			var n, size uint32
			ok(sizes(unsafe.Pointer(&n), unsafe.Pointer(&size)), "sizes")
			ptrs, buf := make([]uint32, n), make([]byte, size)
			ok(get(unsafe.Pointer(unsafe.SliceData(ptrs)), unsafe.Pointer(unsafe.SliceData(buf))), "get")
			return strings.Split(string(buf), "\x00")
		}
		puts(1, strings.Join(list(args_sizes_get, args_get), "|")+" "+strings.Join(list(environ_sizes_get, environ_get), "|"))
	}
	cases["exit"] = func(int32) {
		n, _ := strconv.Atoi(os.Args[2])
		proc_exit(uint32(n))
	}
	cases["stat-dev-ino"] = func(d int32) {
		a, b := statOf(open(d, "a", oCreat, rRead, 0)), statOf(open(d, "b", oCreat, rRead, 0))
		same(a.dev, b.dev, "device")
		same(a.ino != b.ino, true, "different inodes")
	}
	cases["fdopendir-with-access"] = func(d int32) {
		mkdir(d, "dir")
		create(d, "dir/file")
		list, _ := readdir(open(d, "dir", oDirectory, 0, 0), 0, 256)
		same(names(list), ". .. file", "names")
	}
	cases["pwrite-with-append"] = func(d int32) {
		f := open(d, "file", oCreat|oTrunc, rWrite|rSeek, fAppend)
		puts(f, "ab")
		seekTo(f, 0, 0, 0)
		puts(f, "cd")
		seekTo(f, 0, 1, 4)
		var n uint32
		ok(fd_pwrite(f, iov([]byte("xyz")), 1, 0, unsafe.Pointer(&n)), "pwrite")
		seekTo(f, 0, 1, 4)
		end, _ := seek(f, 0, 2)
		same(end == 4 || end == 7, true, "size")
	}
	cases["fd_write-to-invalid-fd"] = func(int32) {
		_, e := write(99, []byte("x"))
		fails(e, "write", badf)
	}
	// Not from wasi-testsuite: addresses beyond the memory.
	cases["pointers"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite, 0)
		far := unsafe.Add(unsafe.Pointer(nil), uintptr(0xfffffff0))
		var n uint32
		p := unsafe.Pointer(&n)
		wild := []uint32{0xfffffff0, 0xffffffff, 16, 1 << 31}
		fails(fd_write(f, unsafe.Pointer(&wild[0]), 2, p), "buffer beyond the memory", fault)
		fails(fd_read(f, unsafe.Pointer(&wild[2]), 1, p), "buffer longer than the memory", fault)
		fails(fd_write(f, far, 1, p), "vector beyond the memory", fault)
		fails(fd_write(f, far, 1<<30, p), "vector of 2^30", inval)
		fails(fd_write(f, iov([]byte("x")), 1, far), "result beyond the memory", fault)
		fails(fd_filestat_get(f, far), "stat beyond the memory", fault)
		fails(fd_readdir(d, far, 100, 0, p), "names beyond the memory", fault)
		fails(random_get(far, 100), "random beyond the memory", fault)
		fails(args_get(far, far), "arguments beyond the memory", fault)
		fails(poll_oneoff(far, far, 1, p), "poll beyond the memory", fault)
		fails(poll_oneoff(far, far, 1<<31, p), "poll of 2^31", inval)
		// The total length of overlapping buffers may exceed the range of a result.
		big := make([]byte, 48<<20)
		var bufs [][]byte
		for range 50 {
			bufs = append(bufs, big)
		}
		null := open(3, "../../dev/null", 0, rWrite, 0)
		ok(fd_write(null, iov(bufs...), 50, p), "write of 2.3 GiB")
		same(n, 1<<31-1, "written")
	}
}
