package main

import (
	"strings"
	"unsafe"
)

func init() {
	cases["fd_advise"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite, 0)
		ok(fd_filestat_set_size(f, 100), "set size")
		ok(fd_advise(f, 10, 50, 0), "advise")
		fails(fd_advise(f, 0, 1, 6), "advice 6", inval)
		fails(fd_advise(99, 0, 1, 0), "advise of no file", badf)
		same(statOf(f).size, 100, "size")
		ok(fd_allocate(f, 100, 100), "allocate")
		same(statOf(f).size, 200, "size")
	}
	cases["file_allocate"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite, 0)
		for _, c := range [][3]uint64{{0, 100, 100}, {10, 10, 100}, {90, 20, 110}} {
			ok(fd_allocate(f, c[0], c[1]), "allocate")
			same(statOf(f).size, c[2], "size")
		}
		fails(fd_allocate(f, 0, 0), "no length", inval)
		fails(fd_allocate(open(d, "file", 0, rRead, 0), 0, 200), "of a file open for reading", badf)
	}
	cases["file_pread_pwrite"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite|rSeek, 0)
		var n uint32
		ok(fd_pwrite(f, iov([]byte{0, 1}, []byte{2, 3}), 2, 0, unsafe.Pointer(&n)), "pwrite")
		same(n, 4, "written")
		one, two := make([]byte, 2), make([]byte, 2)
		ok(fd_pread(f, iov(one, two), 2, 0, unsafe.Pointer(&n)), "pread")
		same(string(one)+string(two), "\x00\x01\x02\x03", "read")
		b := make([]byte, 4)
		ok(fd_pread(f, iov(b), 1, 2, unsafe.Pointer(&n)), "pread")
		same(n, 2, "at the end")
		same(string(b), "\x02\x03\x00\x00", "read")
		ok(fd_pwrite(f, iov([]byte{1, 0}), 1, 2, unsafe.Pointer(&n)), "pwrite")
		seekTo(f, 0, 1, 0)
		gets(f, 9, "\x00\x01\x01\x00")
		fails(fd_pread(f, iov(b), 1, 1<<63, unsafe.Pointer(&n)), "negative offset", inval)
		fails(fd_pwrite(f, iov(b), 1, 1<<63, unsafe.Pointer(&n)), "negative offset", inval)
	}
	cases["file_seek_tell"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite|rSeek|rTell, 0)
		tell := func(want uint64) {
			var at uint64
			ok(fd_tell(f, unsafe.Pointer(&at)), "tell")
			same(at, want, "tell")
		}
		tell(0)
		puts(f, strings.Repeat("\x00", 100))
		tell(100)
		seekTo(f, -50, 1, 50)
		seekTo(f, 0, 0, 0)
		seekTo(f, 1000, 1, 1000)
		_, e := seek(f, -2000, 1)
		fails(e, "before the start", inval)
		_, e = seek(f, 1<<62, 3)
		fails(e, "whence 3", inval)
		seekTo(f, 1<<62, 0, 1<<62)
		_, e = seek(f, 1<<62, 1)
		fails(e, "beyond 63 bits", inval, 61)
		seekTo(f, 0, 0, 0)
		gets(f, 100, strings.Repeat("\x00", 100))
		tell(100)
	}
	cases["file_truncation"] = func(d int32) {
		f := open(d, "file", oCreat, rWrite, 0)
		puts(f, "this is truncated")
		f = open(d, "file", oCreat|oTrunc, rRead|rWrite, 0)
		gets(f, 100, "")
	}
	cases["file_unbuffered_write"] = func(d int32) {
		r, w := open(d, "file", oCreat, rRead, 0), open(d, "file", 0, rWrite, 0)
		puts(w, "\x01")
		gets(r, 1, "\x01")
	}
	cases["fd_filestat_set"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite, 0)
		same(statOf(f).size, 0, "size")
		ok(fd_filestat_set_size(f, 100), "set size")
		before := statOf(f)
		same(before.size, 100, "size")
		ok(fd_filestat_set_times(f, before.mtim-100, before.mtim-100, tMtim), "set times")
		after := statOf(f)
		same(after.size, 100, "size")
		same(after.mtim, before.mtim-100, "mtim")
		same(after.atim, before.atim, "atim")
	}
	cases["fstflags_validate"] = func(d int32) {
		f := open(d, "file", oCreat, rRead, 0)
		fails(fd_filestat_set_times(f, 100, 200, tMtim|tMtimNow), "mtim twice", inval)
		fails(fd_filestat_set_times(f, 100, 200, tAtim|tAtimNow), "atim twice", inval)
		fails(fd_filestat_set_times(f, 100, 200, 16), "flag 16", inval)
	}
	cases["fd_flags_set"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite|rSeek|rTell, fAppend)
		a, b, c := strings.Repeat("a", 100), strings.Repeat("b", 100), strings.Repeat("c", 100)
		puts(f, a)
		seekTo(f, 0, 0, 0)
		gets(f, 100, a)
		seekTo(f, 0, 0, 0)
		puts(f, b)
		seekTo(f, 100, 0, 100)
		gets(f, 100, b)
		ok(fd_fdstat_set_flags(f, fNonblock), "NONBLOCK")
		same(mustFdstat(f).flags, uint16(fNonblock), "flags")
		ok(fd_fdstat_set_flags(f, 0), "no flags")
		seekTo(f, 0, 0, 0)
		puts(f, c)
		seekTo(f, 0, 0, 0)
		gets(f, 300, c+b)
		fails(fd_fdstat_set_flags(f, fSync), "SYNC afterwards", inval)
		fails(fd_fdstat_set_flags(f, 32), "flag 32", inval)
		same(pathStat(d, 0, "file").size, 200, "size")
	}
	cases["path_open_read_write"] = func(d int32) {
		create(d, "file")
		f := open(d, "file", 0, rRead, 0)
		same(mustFdstat(f).base&(rRead|rWrite), rRead, "rights for reading")
		gets(f, 100, "")
		_, e := write(f, make([]byte, 50))
		fails(e, "write", badf, notcapable, acces)
		f = open(d, "file", 0, rWrite, 0)
		same(mustFdstat(f).base&(rRead|rWrite), rWrite, "rights for writing")
		_, e = read(f, 1)
		fails(e, "read", badf, notcapable, acces)
		puts(f, strings.Repeat("x", 50))
		f = open(d, "file", 0, rRead|rWrite, 0)
		same(mustFdstat(f).base&(rRead|rWrite), rRead|rWrite, "rights for both")
		gets(f, 50, strings.Repeat("x", 50))
		puts(f, strings.Repeat("y", 25))
		same(statOf(f).size, 75, "size")
	}
	cases["truncation_rights"] = func(d int32) {
		create(d, "file")
		s := mustFdstat(d)
		same(s.kind, typeDir, "type")
		same(s.flags, 0, "flags")
		same(s.base&rSetSize, 0, "the right to set the size of a folder")
		same(s.base&rPathSetSize != 0 && s.inherit&rSetSize != 0, true, "the rights below")
		ok(fd_close(open(d, "file", oTrunc, 0, 0)), "truncate")
		ok(fd_fdstat_set_rights(d, s.base, s.inherit&^rSetSize), "give up the size below")
		f := open(d, "file", oTrunc, 0, 0)
		fails(fd_filestat_set_size(f, 1), "size of a file below", notcapable)
		ok(fd_fdstat_set_rights(d, s.base&^rPathSetSize, s.inherit&^rSetSize), "give up truncation")
		same(mustFdstat(d).base&rPathSetSize, 0, "right that was given up")
		openError(d, 0, "file", oTrunc, 0, perm, notcapable)
	}
	cases["fd_fdstat_set_rights"] = func(d int32) {
		f := open(d, "file", oCreat, rRead|rWrite|rSeek|rTell, 0)
		puts(f, "\x00\x01\x02\x03")
		seekTo(f, 0, 0, 0)
		gets(f, 4, "\x00\x01\x02\x03")
		s := mustFdstat(f)
		ok(fd_fdstat_set_rights(f, s.base&^(rRead|rWrite), s.inherit), "give up")
		now := mustFdstat(f)
		same(now.base&(rRead|rWrite), 0, "rights")
		same(now.base&rSeek, rSeek, "right to seek")
		_, e := read(f, 1)
		fails(e, "read", badf, notcapable)
		_, e = write(f, []byte("x"))
		fails(e, "write", badf, notcapable)
		fails(fd_fdstat_set_rights(f, s.base, s.inherit), "take back", notcapable)
		// wasi-testsuite does not test these.
		to := open(d, "file", 0, rRead, 0)
		ok(fd_renumber(f, to), "renumber")
		_, e = read(to, 1)
		fails(e, "read by another number", badf, notcapable)
	}
	cases["dangling_fd"] = func(d int32) {
		create(d, "file")
		f := open(d, "file", 0, 0, 0)
		unlink(d, "file")
		create(d, "file")
		unlink(d, "file")
		ok(fd_close(f), "close")
		mkdir(d, "dir")
		f = open(d, "dir", oDirectory, 0, 0)
		rmdir(d, "dir")
		mkdir(d, "dir")
		ok(fd_close(f), "close")
	}
	cases["renumber"] = func(d int32) {
		from, to := open(d, "file1", oCreat, rRead|rWrite, 0), open(d, "file2", oCreat, rRead|rWrite, 0)
		s := mustFdstat(from)
		ok(fd_renumber(from, to), "renumber")
		fails(fd_close(from), "close what was renumbered", badf)
		same(mustFdstat(to), s, "what is open")
		puts(to, "one")
		same(pathStat(d, 0, "file1").size, 3, "size of the first")
		fails(fd_renumber(to, from), "to a free number", badf)
		fails(fd_renumber(from, to), "from a free number", badf)
		fails(fd_renumber(to, -1), "to -1", badf)
		ok(fd_renumber(to, to), "to itself")
		ok(fd_close(to), "close")
	}
	cases["stdio"] = func(d int32) {
		for _, from := range []int32{0, 2, 1} { // standard output is last: without it, only the exit code shows a failure
			to := open(d, "file", oCreat, 0, 0)
			ok(fd_renumber(from, to), "renumber")
			mustFdstat(to)
			_, e := fdstatOf(from)
			fails(e, "what was renumbered", badf)
			unlink(d, "file")
		}
	}
	cases["close_preopen"] = func(d int32) {
		ok(fd_close(3), "close")
		same(mustFdstat(d).kind, typeDir, "type")
		_, e := fdstatOf(3)
		fails(e, "closed", badf)
		fails(fd_prestat_get(3, unsafe.Pointer(new([8]byte))), "prestat", badf)
	}
	cases["overwrite_preopen"] = func(d int32) {
		before := statOf(d)
		ok(fd_renumber(d, 3), "renumber")
		after := statOf(3)
		same(after.dev, before.dev, "device")
		same(after.ino, before.ino, "inode")
		_, e := fdstatOf(d)
		fails(e, "what was renumbered", badf)
		fails(fd_prestat_get(3, unsafe.Pointer(new([8]byte))), "prestat", badf)
		ok(fd_close(3), "close")
	}
}
