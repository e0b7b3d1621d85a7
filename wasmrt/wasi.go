package wasmrt

import (
	"context"
	"errors"
	"io"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// wasiCalls are the calls of wasi_snapshot_preview1 except proc_exit.
// They replace wazero's own, which clean paths before a file system sees them: ".." after a link would be wrong, and
// "../x" from the working directory refused. Also, wazero's know neither "cross-device link" nor "no space left", and
// lose track of an open directory after its rename.
var wasiCalls = []hostFunc{
	{"args_get", "ii", argsGet},
	{"args_sizes_get", "ii", argsSizesGet},
	{"environ_get", "ii", environGet},
	{"environ_sizes_get", "ii", environSizesGet},
	{"clock_res_get", "ii", clockResGet},
	{"clock_time_get", "iIi", clockTimeGet},
	{"random_get", "ii", randomGet},
	{"sched_yield", "", func(*proc, memory, []uint64) errno { return eOK }},
	{"proc_raise", "i", func(*proc, memory, []uint64) errno { return eNosys }},
	{"poll_oneoff", "iiii", pollOneoff},
	{"sock_accept", "iii", needs(sockAccept, need{0, rightAccept})},
	{"sock_recv", "iiiiii", needs(sockRecv, need{0, rightRead})},
	{"sock_send", "iiiii", needs(sockSend, need{0, rightWrite})},
	{"sock_shutdown", "ii", needs(sockShutdown, need{0, rightShutdown})},

	{"fd_advise", "iIIi", needs(fdAdvise, need{0, rightAdvise})},
	{"fd_allocate", "iII", needs(fdAllocate, need{0, rightAllocate})},
	{"fd_close", "i", fdClose},
	{"fd_datasync", "i", needs(fdSync, need{0, rightDatasync})},
	{"fd_fdstat_get", "ii", fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", needs(fdFdstatSetFlags, need{0, rightSetFlags})},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
	{"fd_filestat_get", "ii", needs(fdFilestatGet, need{0, rightStat})},
	{"fd_filestat_set_size", "iI", needs(fdFilestatSetSize, need{0, rightSetSize})},
	{"fd_filestat_set_times", "iIIi", needs(fdFilestatSetTimes, need{0, rightSetTimes})},
	{"fd_pread", "iiiIi", needs(fdPread, need{0, rightRead})},
	{"fd_prestat_get", "ii", fdPrestatGet},
	{"fd_prestat_dir_name", "iii", fdPrestatDirName},
	{"fd_pwrite", "iiiIi", needs(fdPwrite, need{0, rightWrite})},
	{"fd_read", "iiii", needs(fdRead, need{0, rightRead})},
	{"fd_readdir", "iiiIi", needs(fdReaddir, need{0, rightReaddir})},
	{"fd_renumber", "ii", fdRenumber},
	{"fd_seek", "iIii", needs(fdSeek, need{0, rightSeek})},
	{"fd_sync", "i", needs(fdSync, need{0, rightSync})},
	{"fd_tell", "ii", needs(fdTell, need{0, rightTell})},
	{"fd_write", "iiii", needs(fdWrite, need{0, rightWrite})},

	{"path_create_directory", "iii", needs(pathCreateDirectory, need{0, rightMkdir})},
	{"path_filestat_get", "iiiii", needs(pathFilestatGet, need{0, rightPathStat})},
	{"path_filestat_set_times", "iiiiIIi", needs(pathFilestatSetTimes, need{0, rightPathSetTimes})},
	{"path_link", "iiiiiii", needs(pathLink, need{0, rightLinkSource}, need{4, rightLinkTarget})},
	{"path_open", "iiiiiIIii", needs(pathOpen, need{0, rightOpen})},
	{"path_readlink", "iiiiii", needs(pathReadlink, need{0, rightReadlink})},
	{"path_remove_directory", "iii", needs(pathRemoveDirectory, need{0, rightRmdir})},
	{"path_rename", "iiiiii", needs(pathRename, need{0, rightRenameSource}, need{3, rightRenameTarget})},
	{"path_symlink", "iiiii", needs(pathSymlink, need{2, rightSymlink})},
	{"path_unlink_file", "iii", needs(pathUnlinkFile, need{0, rightUnlink})},
}

// errStopped ends a program at its next call after its context is done.
var errStopped = errors.New("cancelled")

func procExit(ctx context.Context, mod api.Module, stack []uint64) {
	code := uint32(stack[0])
	if img, ok := ctx.Value(procKey{}).(*image); ok {
		img.enter()
		img.exit(int(min(code, 255)) << 8)
	}
	_ = mod.CloseWithExitCode(ctx, code)
	panic(sys.NewExitError(code)) // no instruction after the call may run
}

func argsGet(p *proc, m memory, a []uint64) errno      { return putStrings(m, p.args, a) }
func argsSizesGet(p *proc, m memory, a []uint64) errno { return putSizes(m, p.args, a) }
func environGet(p *proc, m memory, a []uint64) errno   { return putStrings(m, p.env, a) }
func environSizesGet(p *proc, m memory, a []uint64) errno {
	return putSizes(m, p.env, a)
}

func putSizes(m memory, list []string, a []uint64) errno {
	n := 0
	for _, s := range list {
		n += len(s) + 1
	}
	if e := m.put32(a[0], uint32(len(list))); e != eOK {
		return e
	}
	return m.put32(a[1], uint32(n))
}

func putStrings(m memory, list []string, a []uint64) errno {
	ptrs, at := a[0], a[1]
	for _, s := range list {
		b, e := m.bytes(at, uint64(len(s)+1))
		if e != eOK {
			return e
		}
		copy(b, s)
		b[len(s)] = 0
		if e := m.put32(ptrs, uint32(at)); e != eOK {
			return e
		}
		ptrs += 4
		at += uint64(len(b))
	}
	return eOK
}

func clockResGet(_ *proc, m memory, a []uint64) errno {
	if uint32(a[0]) > 3 {
		return eInval
	}
	return m.put64(a[1], 1000)
}

func clockTimeGet(p *proc, m memory, a []uint64) errno {
	switch uint32(a[0]) {
	case 0:
		return m.put64(a[2], uint64(p.clock.wall()))
	case 1, 2, 3:
		return m.put64(a[2], uint64(p.clock.monotonic()))
	}
	return eInval
}

func randomGet(p *proc, m memory, a []uint64) errno {
	b, e := m.bytes(a[0], a[1])
	if e != eOK {
		return e
	}
	if _, err := io.ReadFull(p.random, b); err != nil {
		return eIO
	}
	return eOK
}
