// Suite asserts the same behaviour of the interface as the programs of wasi-testsuite, with one function for each program.
// Its argument is the name of one function; it prints the assertions that fail.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"
)

type errno = uint32

const (
	acces, badf, exist, fault, inval, isdir, loop       errno = 2, 8, 20, 21, 28, 31, 32
	nametoolong, noent, notdir, notempty, notsock, perm errno = 37, 44, 54, 55, 57, 63
	ilseq, notcapable                                   errno = 25, 76

	oCreat, oDirectory, oExcl, oTrunc uint32 = 1, 2, 4, 8
	fAppend, fNonblock, fSync         uint32 = 1, 4, 16
	follow                            uint32 = 1

	rRead, rSeek, rTell, rWrite, rPathSetSize, rSetSize uint64 = 1 << 1, 1 << 2, 1 << 5, 1 << 6, 1 << 19, 1 << 22

	tAtim, tAtimNow, tMtim, tMtimNow uint32 = 1, 2, 4, 8

	typeDir, typeFile, typeLink byte = 3, 4, 7
)

var cases = map[string]func(dir int32){"no access": func(int32) {}}

// failed counts the failed assertions.
var failed int

func main() {
	run := cases[os.Args[1]]
	if run == nil {
		fmt.Println("no such case")
		os.Exit(2)
	}
	if os.Args[1] == "no access" {
		openError(3, 0, "fs-tests.dir/file", 0, rRead, noent)
		os.Exit(failed)
	}
	ok(path_create_directory(3, "suite.dir"), "make a folder")
	run(open(3, "suite.dir", oDirectory, 0, 0))
	if failed > 0 {
		os.Exit(1)
	}
}

func say(format string, args ...any) {
	failed++
	fmt.Printf(format+"\n", args...)
}

func ok(e errno, what string) {
	if e != 0 {
		say("%s: errno %d", what, e)
	}
}

// fails asserts that a call returns one of some errors.
func fails(e errno, what string, want ...errno) {
	if !slices.Contains(want, e) {
		say("%s: errno %d, want one of %d", what, e, want)
	}
}

func same[T comparable](got, want T, what string) {
	if got != want {
		say("%s: got %v, want %v", what, got, want)
	}
}

func tryOpen(dir int32, lookup uint32, name string, oflags uint32, rights uint64, flags uint32) (int32, errno) {
	var fd int32 = -1
	e := path_open(dir, lookup, name, oflags, rights, 0, flags, unsafe.Pointer(&fd))
	return fd, e
}

func open(dir int32, name string, oflags uint32, rights uint64, flags uint32) int32 {
	fd, e := tryOpen(dir, 0, name, oflags, rights, flags)
	ok(e, "open "+name)
	return fd
}

func openError(dir int32, lookup uint32, name string, oflags uint32, rights uint64, want ...errno) {
	fd, e := tryOpen(dir, lookup, name, oflags, rights, 0)
	fails(e, fmt.Sprintf("open %q lookup %d flags %d rights %#x", name, lookup, oflags, rights), want...)
	if e == 0 {
		fd_close(fd)
	}
}

func create(dir int32, name string) { ok(fd_close(open(dir, name, oCreat, 0, 0)), "close "+name) }
func mkdir(dir int32, name string)  { ok(path_create_directory(dir, name), "mkdir "+name) }
func unlink(dir int32, name string) { ok(path_unlink_file(dir, name), "unlink "+name) }
func rmdir(dir int32, name string)  { ok(path_remove_directory(dir, name), "rmdir "+name) }
func link(target string, dir int32, name string) {
	ok(path_symlink(target, dir, name), "symlink "+name)
}

// iov makes the vector of some buffers.
func iov(bufs ...[]byte) unsafe.Pointer {
	v := make([]uint32, 0, 2*len(bufs)+1)
	for _, b := range bufs {
		v = append(v, uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b)))
	}
	return unsafe.Pointer(unsafe.SliceData(v))
}

func write(fd int32, b []byte) (uint32, errno) {
	var n uint32
	e := fd_write(fd, iov(b), 1, unsafe.Pointer(&n))
	return n, e
}

func read(fd int32, size int) (string, errno) {
	var n uint32
	b := make([]byte, size)
	e := fd_read(fd, iov(b), 1, unsafe.Pointer(&n))
	return string(b[:n]), e
}

func puts(fd int32, text string) {
	n, e := write(fd, []byte(text))
	ok(e, "write")
	same(int(n), len(text), "written")
}

func gets(fd int32, size int, want string) {
	got, e := read(fd, size)
	ok(e, "read")
	same(got, want, "read")
}

func seek(fd int32, off int64, whence uint32) (uint64, errno) {
	var at uint64
	e := fd_seek(fd, off, whence, unsafe.Pointer(&at))
	return at, e
}

func seekTo(fd int32, off int64, whence uint32, want uint64) {
	at, e := seek(fd, off, whence)
	ok(e, "seek")
	same(at, want, "offset")
}

type stat struct {
	dev, ino, nlink, size, atim, mtim, ctim uint64
	kind                                    byte
}

func parseStat(b *[64]byte) stat {
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
	return stat{u(0), u(8), u(24), u(32), u(40), u(48), u(56), b[16]}
}

func statOf(fd int32) stat {
	var b [64]byte
	ok(fd_filestat_get(fd, unsafe.Pointer(&b)), "fd_filestat_get")
	return parseStat(&b)
}

func pathStat(dir int32, lookup uint32, name string) stat {
	var b [64]byte
	ok(path_filestat_get(dir, lookup, name, unsafe.Pointer(&b)), "path_filestat_get "+name)
	return parseStat(&b)
}

type fdstat struct {
	kind          byte
	flags         uint16
	base, inherit uint64
}

func fdstatOf(fd int32) (fdstat, errno) {
	var b [24]byte
	e := fd_fdstat_get(fd, unsafe.Pointer(&b))
	return fdstat{b[0], binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}, e
}

func mustFdstat(fd int32) fdstat {
	s, e := fdstatOf(fd)
	ok(e, "fd_fdstat_get")
	return s
}

type dirent struct {
	next, ino uint64
	kind      byte
	name      string
}

// readdir reads once; end says that the call did not fill the buffer.
func readdir(fd int32, cookie uint64, size int) (list []dirent, end bool) {
	b := make([]byte, size)
	var n uint32
	ok(fd_readdir(fd, unsafe.Pointer(&b[0]), uint32(size), cookie, unsafe.Pointer(&n)), "fd_readdir")
	end = int(n) < size
	for b = b[:n]; len(b) >= 24; {
		name := int(binary.LittleEndian.Uint32(b[16:]))
		if len(b) < 24+name {
			break
		}
		list = append(list, dirent{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), b[20], string(b[24:][:name])})
		b = b[24+name:]
	}
	return list, end
}

func names(list []dirent) string {
	var out []string
	for _, d := range list {
		out = append(out, d.name)
	}
	return strings.Join(out, " ")
}
