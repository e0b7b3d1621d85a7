package wasmrt

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// wasiCalls are the calls of wasi_snapshot_preview1 except proc_exit.
// They are our own rather than wazero's because those clean paths before a file system sees them: ".." after a link
// would be wrong, and "../x" from the working directory refused; they know neither "cross-device link" nor "no space
// left", and lose track of an open directory that is renamed.
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
	{"sock_accept", "iii", notSocket},
	{"sock_recv", "iiiiii", notSocket},
	{"sock_send", "iiiii", notSocket},
	{"sock_shutdown", "ii", notSocket},

	{"fd_advise", "iIIi", fdAdvise},
	{"fd_allocate", "iII", fdAllocate},
	{"fd_close", "i", fdClose},
	{"fd_datasync", "i", fdSync},
	{"fd_fdstat_get", "ii", fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
	{"fd_filestat_get", "ii", fdFilestatGet},
	{"fd_filestat_set_size", "iI", fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", fdFilestatSetTimes},
	{"fd_pread", "iiiIi", fdPread},
	{"fd_prestat_get", "ii", fdPrestatGet},
	{"fd_prestat_dir_name", "iii", fdPrestatDirName},
	{"fd_pwrite", "iiiIi", fdPwrite},
	{"fd_read", "iiii", fdRead},
	{"fd_readdir", "iiiIi", fdReaddir},
	{"fd_renumber", "ii", fdRenumber},
	{"fd_seek", "iIii", fdSeek},
	{"fd_sync", "i", fdSync},
	{"fd_tell", "ii", fdTell},
	{"fd_write", "iiii", fdWrite},

	{"path_create_directory", "iii", pathCreateDirectory},
	{"path_filestat_get", "iiiii", pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", pathFilestatSetTimes},
	{"path_link", "iiiiiii", pathLink},
	{"path_open", "iiiiiIIii", pathOpen},
	{"path_readlink", "iiiiii", pathReadlink},
	{"path_remove_directory", "iii", pathRemoveDirectory},
	{"path_rename", "iiiiii", pathRename},
	{"path_symlink", "iiiii", pathSymlink},
	{"path_unlink_file", "iii", pathUnlinkFile},
}

// errStopped ends a program whose context is done, at its next call.
var errStopped = errors.New("cancelled")

func procExit(ctx context.Context, mod api.Module, stack []uint64) {
	code := uint32(stack[0])
	_ = mod.CloseWithExitCode(ctx, code)
	panic(sys.NewExitError(code)) // nothing after the call may run
}

func notSocket(*proc, memory, []uint64) errno { return eNotsock }

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

// maxPoll is how many events one poll may wait for.
const maxPoll = 4096

// pollOneoff waits for the first of some clocks. Files are always ready: a read of an empty pipe blocks the program.
func pollOneoff(p *proc, m memory, a []uint64) errno {
	n := uint64(uint32(a[2]))
	if n == 0 || n > maxPoll {
		return eInval
	}
	in, e := m.bytes(a[0], n*48)
	if e != eOK {
		return e
	}
	out, e := m.bytes(a[1], n*32)
	if e != eOK {
		return e
	}
	type timer struct {
		at   time.Duration
		user uint64
	}
	var clocks []timer
	count := 0
	event := func(user uint64, e errno, kind byte) {
		ev := out[count*32:][:32]
		clear(ev)
		binary.LittleEndian.PutUint64(ev, user)
		binary.LittleEndian.PutUint16(ev[8:], uint16(e))
		ev[10] = kind
		if kind != 0 && e == eOK {
			binary.LittleEndian.PutUint64(ev[16:], 1)
		}
		count++
	}
	for i := range n {
		s := in[i*48:][:48]
		user := binary.LittleEndian.Uint64(s)
		switch s[8] {
		case 0:
			d := time.Duration(binary.LittleEndian.Uint64(s[24:]))
			if binary.LittleEndian.Uint16(s[40:])&1 != 0 { // absolute
				now := p.clock.monotonic()
				if binary.LittleEndian.Uint32(s[16:]) == 0 {
					now = p.clock.wall()
				}
				d -= time.Duration(now)
			}
			clocks = append(clocks, timer{max(d, 0), user})
		case 1, 2:
			_, e := p.get(uint64(binary.LittleEndian.Uint32(s[16:])))
			event(user, e, s[8])
		default:
			event(user, eInval, s[8])
		}
	}
	if count == 0 && len(clocks) > 0 {
		first := clocks[0].at
		for _, t := range clocks {
			first = min(first, t.at)
		}
		p.clock.sleep(p.ctx, first)
		for _, t := range clocks {
			if t.at <= first {
				event(t.user, eOK, 0)
			}
		}
	}
	return m.put32(a[3], uint32(count))
}
