package main

import (
	"fmt"
	"unsafe"
)

func init() {
	cases["dangling_symlink"] = func(d int32) {
		link("target", d, "link")
		openError(d, 0, "link", oDirectory, 0, notdir, loop)
		openError(d, 0, "link", 0, 0, loop)
		openError(d, follow, "link", 0, 0, noent)
		openError(d, 0, "link", oCreat|oExcl, rWrite, exist)
		ok(fd_close(func() int32 {
			f, e := tryOpen(d, follow, "link", oCreat, rWrite, 0)
			ok(e, "create through the link")
			return f
		}()), "close")
		same(pathStat(d, 0, "target").kind, typeFile, "what was made")
	}
	cases["symlink_loop"] = func(d int32) {
		link("link", d, "link")
		openError(d, 0, "link", 0, 0, loop)
		openError(d, follow, "link", 0, 0, loop)
	}
	cases["symlink_create"] = func(d int32) {
		mkdir(d, "dir")
		create(d, "file")
		for _, name := range []string{"dir", "file"} {
			link(name, d, "link")
			f, e := tryOpen(d, follow, "link", 0, 0, 0)
			ok(e, "open a link to "+name)
			same(statOf(f).ino, pathStat(d, 0, name).ino, "what it opens")
			unlink(d, "link")
			same(pathStat(d, 0, name).nlink, 1, "names of "+name)
		}
	}
	cases["symlink_filestat"] = func(d int32) {
		create(d, "file")
		file := pathStat(d, 0, "file")
		link("file", d, "link")
		own := pathStat(d, 0, "link")
		same(own.kind, typeLink, "type")
		same(own.size, 4, "size of a link")
		ok(path_filestat_set_times(d, 0, "link", 0, own.mtim-200, tMtim), "set times of a link")
		same(pathStat(d, 0, "link").mtim, own.mtim-200, "mtim of the link")
		same(pathStat(d, 0, "file").mtim, file.mtim, "mtim of the file")
		same(pathStat(d, follow, "link").mtim, file.mtim, "mtim through the link")
		ok(path_filestat_set_times(d, follow, "link", 0, own.mtim, tMtim), "set times through a link")
		same(pathStat(d, 0, "file").mtim, own.mtim, "mtim of the file")
	}
	cases["path_filestat"] = func(d int32) {
		same(mustFdstat(d).base&(1<<18) != 0, true, "right to look at paths")
		f := open(d, "file", oCreat, rRead|rWrite, fAppend|fSync)
		same(uint32(mustFdstat(f).flags), fAppend|fSync, "flags")
		before := pathStat(d, 0, "file")
		same(before.size, 0, "size")
		ok(path_filestat_set_times(d, 0, "file", 0, before.mtim-100, tMtim), "set times")
		same(pathStat(d, 0, "file").mtim, before.mtim-100, "mtim")
		fails(path_filestat_set_times(d, 0, "file", 0, 5, tMtim|tMtimNow), "mtim twice", inval)
		fails(path_filestat_set_times(d, 0, "file", 0, 5, tAtim|tAtimNow), "atim twice", inval)
		same(pathStat(d, 0, "file").mtim, before.mtim-100, "mtim")
		// wasi-testsuite does not test these: both times, to the nanosecond, of files and directories.
		ok(path_filestat_set_times(d, 0, "file", 1_000_000_001, 2_123_456_789, tAtim|tMtim), "set both")
		now := statOf(f)
		same(now.atim, 1_000_000_001, "atim")
		same(now.mtim, 2_123_456_789, "mtim")
		ok(fd_filestat_set_times(f, 3_000_000_007, 0, tAtim), "set atim")
		now = pathStat(d, 0, "file")
		same(now.atim, 3_000_000_007, "atim")
		same(now.mtim, 2_123_456_789, "mtim")
		ok(fd_filestat_set_times(d, 0, 4_000_000_009, tMtim), "set mtim of a folder")
		same(statOf(d).mtim, 4_000_000_009, "mtim of a folder")
		ok(fd_filestat_set_times(f, 0, 0, tMtimNow), "now")
		same(statOf(f).mtim > before.mtim-100, true, "mtim is now")
	}
	cases["nofollow_errors"] = func(d int32) {
		mkdir(d, "target")
		link("target", d, "link")
		openError(d, 0, "link", oDirectory, 0, loop, notdir)
		openError(d, 0, "link", 0, 0, loop, acces)
		openError(d, follow, "link", oDirectory, 0, 0)
		unlink(d, "link")
		rmdir(d, "target")
		create(d, "target")
		link("target", d, "link")
		openError(d, 0, "link", oDirectory, 0, loop, notdir)
		openError(d, 0, "link", 0, 0, loop)
		openError(d, follow, "link", oDirectory, 0, notdir)
	}
	cases["interesting_paths"] = func(d int32) {
		mkdir(d, "dir")
		mkdir(d, "dir/nested")
		create(d, "dir/nested/file")
		openError(d, 0, "/dir/nested/file", 0, 0, perm, notcapable)
		openError(d, 0, "dir/.//nested/../../dir/nested/../nested///./file", 0, 0, 0)
		openError(d, 0, "dir/nested/file\x00", 0, 0, inval, ilseq, noent)
		openError(d, 0, "dir/nested/file/", 0, 0, notdir, noent)
		openError(d, 0, "dir/nested/file///", 0, 0, notdir, noent)
		openError(d, 0, "dir/nested/", 0, 0, 0)
		openError(d, 0, "dir/nested///", 0, 0, 0)
		openError(d, 0, "dir/nested/../../../suite.dir/dir/nested/file", 0, 0, perm, notcapable)
	}
	cases["path_exists"] = func(d int32) {
		mkdir(d, "subdir")
		create(d, "subdir/file")
		link("subdir/file", d, "link1")
		link("subdir", d, "link2")
		for _, c := range []struct {
			name   string
			lookup uint32
			kind   byte
		}{{"subdir", 0, typeDir}, {"subdir", follow, typeDir}, {"subdir/file", 0, typeFile}, {"subdir/file", follow, typeFile},
			{"link1", 0, typeLink}, {"link1", follow, typeFile}, {"link2", 0, typeLink}, {"link2", follow, typeDir}} {
			same(pathStat(d, c.lookup, c.name).kind, c.kind, c.name)
		}
	}
	cases["path_link"] = func(d int32) {
		file := open(d, "file", oCreat, rRead, 0)
		mkdir(d, "subdir")
		sub := open(d, "subdir", oDirectory, 0, 0)
		for _, dir := range []int32{d, sub} {
			ok(path_link(d, 0, "file", dir, "link"), "link")
			l := open(dir, "link", 0, rRead, 0)
			same(statOf(l), statOf(file), "stat of the other name")
			same(mustFdstat(l).flags, mustFdstat(file).flags, "flags of the other name")
			unlink(dir, "link")
		}
		create(d, "taken")
		mkdir(d, "takendir")
		for _, name := range []string{"taken", "file", "takendir"} {
			fails(path_link(d, 0, "file", d, name), "link to "+name, exist)
		}
		fails(path_link(d, 0, "subdir", d, "link"), "link of a folder", perm, acces)
		fails(path_link(d, 0, "file", d, "link/"), "link with a slash", noent)
		link("target", d, "symlink")
		ok(path_link(d, 0, "symlink", d, "link"), "link of a dangling link")
		same(pathStat(d, 0, "link").kind, typeLink, "type")
		fails(path_link(d, 0, "file", d, "symlink"), "over a dangling link", exist)
		fails(path_link(d, follow, "symlink", d, "link3"), "following a dangling link", inval, noent)
		link("loop", d, "loop")
		ok(path_link(d, 0, "loop", d, "link4"), "link of a loop")
	}
	cases["path_open_create_existing"] = func(d int32) {
		create(d, "file")
		openError(d, 0, "file", oCreat|oExcl, 0, exist)
	}
	cases["path_open_dirfd_not_dir"] = func(d int32) {
		openError(open(d, "file", oCreat, 0, 0), 0, "foo", oCreat, 0, notdir)
	}
	cases["path_open_missing"] = func(d int32) { openError(d, 0, "file", 0, 0, noent) }
	cases["path_open_nonblock"] = func(d int32) { open(d, ".", 0, 0, fNonblock) }
	cases["path_open_preopen"] = func(int32) {
		s := mustFdstat(3)
		const base uint64 = 1<<9 | 1<<10 | 1<<11 | 1<<12 | 1<<13 | 1<<14 | 1<<15 | 1<<16 | 1<<17 | 1<<18 | 1<<20 | 1<<21 | 1<<23 | 1<<24 | 1<<25 | 1<<26
		const inherit = base | 1<<9 - 1 | 1<<22 | 1<<27
		same(s.base&base, base, "rights")
		same(s.inherit&inherit, inherit, "rights below")
		openError(3, 0, ".", 0, s.base, 0)
		openError(3, 0, ".", 0, 0, 0)
		openError(3, 0, ".", oDirectory, 0, 0)
		openError(3, 0, ".", oDirectory, rRead, 0)
		openError(3, 0, ".", oDirectory, rRead|rWrite, isdir)
		openError(3, 0, ".", 0, rWrite, isdir)
		openError(3, 0, ".", oDirectory|oTrunc, 0, isdir)
		openError(3, 0, "new", oDirectory|oCreat, 0, inval)
	}
	cases["path_rename"] = func(d int32) {
		mkdir(d, "source")
		ok(path_rename(d, "source", d, "target"), "rename a folder")
		openError(d, 0, "source", oDirectory, 0, noent)
		openError(d, 0, "target", oDirectory, 0, 0)
		mkdir(d, "source")
		create(d, "source/in")
		ok(path_rename(d, "source", d, "target"), "rename onto an empty folder")
		openError(d, 0, "source", oDirectory, 0, noent)
		openError(d, 0, "target/in", 0, 0, 0)
		mkdir(d, "source")
		fails(path_rename(d, "source", d, "target"), "onto a full folder", notempty)
		fails(path_rename(d, "source", d, "target/in"), "a folder onto a file", notdir)
		create(d, "file")
		ok(path_rename(d, "file", d, "file2"), "rename a file")
		openError(d, 0, "file", 0, 0, noent)
		create(d, "file")
		ok(path_rename(d, "file", d, "file2"), "onto a file")
		openError(d, 0, "file", 0, 0, noent)
		openError(d, 0, "file2", 0, 0, 0)
		fails(path_rename(d, "file2", d, "source"), "a file onto a folder", isdir)
	}
	cases["path_rename_dir_trailing_slashes"] = func(d int32) {
		mkdir(d, "source")
		for _, c := range [][2]string{{"source/", "target"}, {"target", "source/"}, {"source/", "target/"}, {"target", "source"}} {
			ok(path_rename(d, c[0], d, c[1]), fmt.Sprint("rename ", c))
		}
		rmdir(d, "source")
	}
	cases["path_symlink_trailing_slashes"] = func(d int32) {
		fails(path_symlink("source", d, "target/"), "dangling", noent)
		link("source", d, "target")
		unlink(d, "target")
		mkdir(d, "target")
		fails(path_symlink("source", d, "target/"), "a folder with a slash", exist)
		fails(path_symlink("source", d, "target"), "a folder", exist)
		rmdir(d, "target")
		create(d, "target")
		fails(path_symlink("source", d, "target/"), "a file with a slash", notdir, noent, exist)
		fails(path_symlink("source", d, "target"), "a file", exist)
	}
	cases["readlink"] = func(d int32) {
		link("target", d, "link")
		b := make([]byte, 10)
		var n uint32
		ok(path_readlink(d, "link", unsafe.Pointer(&b[0]), 10, unsafe.Pointer(&n)), "readlink")
		same(string(b), "target\x00\x00\x00\x00", "target")
		same(n, 6, "length")
		b = make([]byte, 10)
		ok(path_readlink(d, "link", unsafe.Pointer(&b[0]), 4, unsafe.Pointer(&n)), "readlink of 4")
		same(string(b), "targ\x00\x00\x00\x00\x00\x00", "target")
		same(n, 4, "length")
		fails(path_readlink(d, ".", unsafe.Pointer(&b[0]), 4, unsafe.Pointer(&n)), "readlink of a folder", inval)
	}
	cases["remove_directory_trailing_slashes"] = func(d int32) {
		mkdir(d, "dir")
		rmdir(d, "dir")
		mkdir(d, "dir")
		rmdir(d, "dir/")
		create(d, "file")
		fails(path_remove_directory(d, "file"), "rmdir of a file", notdir)
		fails(path_remove_directory(d, "file/"), "rmdir of a file with a slash", notdir)
	}
	cases["remove_nonempty_directory"] = func(d int32) {
		mkdir(d, "dir")
		mkdir(d, "dir/nested")
		fails(path_remove_directory(d, "dir"), "rmdir of a full folder", notempty)
		rmdir(d, "dir/nested")
		rmdir(d, "dir")
	}
	cases["unlink_file_trailing_slashes"] = func(d int32) {
		mkdir(d, "dir")
		fails(path_unlink_file(d, "dir"), "unlink of a folder", isdir)
		fails(path_unlink_file(d, "dir/"), "unlink of a folder with a slash", isdir)
		create(d, "file")
		fails(path_unlink_file(d, "file/"), "unlink of a file with a slash", notdir)
		unlink(d, "file")
	}
}
