package fsmount

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	openSize = 16    // bytes of a record
	maxOpen  = 65536 // files of one connection that are open at once
	// maxIdle is how many files that are no longer open stay in the table. For each, the kernel keeps the blob open.
	maxIdle = 16384
	// ownByte is the place of a byte that is not 0 when the kernel was told to open files on its own. opensBytes is the size of the file.
	ownByte    = openSize * maxOpen
	opensBytes = ownByte + pageSize
)

// opens is the table of the open files of one connection, in a file that is mapped into memory: a daemon that is killed leaves it to the next one,
// which must use the backing ids that the kernel has for open files. A record is a node id, a backing id and the number of opens. After a crash the
// number can be too high by the opens that were in progress, and is never too low.
//
// A file that is idle has no opens, and stays in the table for the next open. A record with neither opens nor a backing id is free for the next daemon.
// The caller locks.
type opens struct {
	file   string
	memory []byte
	at     map[uint64]*openFile // by node id
	free   []int
	idle   list.List // of node ids; the file that was closed last is at the front
}

// An openFile is a file in the table.
type openFile struct {
	record int
	blob   blobStamp     // the zero value if an earlier daemon opened the file
	idle   *list.Element // nil: the file is open
}

// A blobStamp tells whether a file has been changed or replaced since it was compared with its hash.
type blobStamp struct {
	path         string
	device, node uint64
	size         int64
	written      unix.Timespec
	changed      unix.Timespec
}

// stampOf returns the stamp of an open file, whose name must be its path.
func stampOf(f *os.File) (blobStamp, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return blobStamp{}, err
	}
	var st unix.Stat_t
	var e error
	err = raw.Control(func(fd uintptr) { e = unix.Fstat(int(fd), &st) })
	return stamp(f.Name(), &st), errors.Join(err, e)
}

func stamp(path string, st *unix.Stat_t) blobStamp {
	return blobStamp{path: path, device: st.Dev, node: st.Ino, size: st.Size, written: st.Mtim, changed: st.Ctim}
}

// holds reports whether the file at the path is still the same.
func (s *blobStamp) holds() bool {
	var st unix.Stat_t
	return s.path != "" && unix.Lstat(s.path, &st) == nil && stamp(s.path, &st) == *s
}

// loadOpens maps the table at path, and creates an empty one if there is none. It returns the backing ids of idle files of an earlier daemon,
// which are not in the table any more.
func loadOpens(path string) (o *opens, idle []int32, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("table of open files: %w", err)
	}
	defer f.Close()                                                    //nolint:errcheck // the mapping stays
	err = unix.Fallocate(int(f.Fd()), 0, 0, opensBytes)                // a write to a hole of a full disk would kill the process
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINTR) { // EINTR: the next daemon finds the rest
		err = f.Truncate(opensBytes)
	}
	var memory []byte
	if err == nil {
		memory, err = unix.Mmap(int(f.Fd()), 0, opensBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("table of open files %s: %w", path, err)
	}
	o = &opens{file: path, memory: memory, at: map[uint64]*openFile{}}
	for i := maxOpen - 1; i >= 0; i-- {
		if o.count(i) > 0 {
			o.at[o.node(i)] = &openFile{record: i}
			continue
		}
		if id := o.backing(i); id != 0 {
			idle = append(idle, id)
			o.set(i, 0, 0)
		}
		o.free = append(o.free, i)
	}
	return o, idle, nil
}

func (o *opens) record(i int) []byte      { return o.memory[i*openSize : (i+1)*openSize] }
func (o *opens) node(i int) uint64        { return binary.LittleEndian.Uint64(o.record(i)) }
func (o *opens) backing(i int) int32      { return int32(binary.LittleEndian.Uint32(o.record(i)[8:])) }
func (o *opens) count(i int) uint32       { return binary.LittleEndian.Uint32(o.record(i)[12:]) }
func (o *opens) setCount(i int, n uint32) { binary.LittleEndian.PutUint32(o.record(i)[12:], n) }

func (o *opens) set(i int, node uint64, backing int32) {
	binary.LittleEndian.PutUint64(o.record(i), node)
	binary.LittleEndian.PutUint32(o.record(i)[8:], uint32(backing))
}

// own reports whether the kernel was told to open files on its own. Then the table tells nothing about what is open.
func (o *opens) own() bool { return o.memory[ownByte] != 0 }
func (o *opens) setOwn()   { o.memory[ownByte] = 1 }

// again counts one more open of a file in the table.
func (o *opens) again(e *openFile) {
	o.setCount(e.record, o.count(e.record)+1)
	if e.idle != nil {
		o.idle.Remove(e.idle)
		e.idle = nil
	}
}

// full reports whether no other file can be opened.
func (o *opens) full() bool { return len(o.free) == 0 }

// first records the first open of a file. The table must not be full.
func (o *opens) first(node uint64, backing int32, blob blobStamp) {
	i := o.free[len(o.free)-1]
	o.free = o.free[:len(o.free)-1]
	o.set(i, node, backing)
	o.setCount(i, 1) // last: before, the next daemon would take the file for an idle one
	o.at[node] = &openFile{record: i, blob: blob}
}

// release takes back one open. A file without opens is idle then, and last is true.
func (o *opens) release(node uint64) (last bool) {
	e := o.at[node]
	if e == nil || e.idle != nil {
		return false
	}
	n := o.count(e.record) - 1
	o.setCount(e.record, n)
	if n == 0 {
		e.idle = o.idle.PushFront(node)
	}
	return n == 0
}

// drop removes an idle file, and returns its backing id, which the kernel must get back.
func (o *opens) drop(node uint64) (backing int32) {
	e := o.at[node]
	backing = o.backing(e.record)
	o.idle.Remove(e.idle)
	delete(o.at, node)
	o.set(e.record, 0, 0)
	o.free = append(o.free, e.record)
	return backing
}

// inUse returns the number of open files.
func (o *opens) inUse() int { return len(o.at) - o.idle.Len() }

// close unmaps the table. remove: the connection has ended, and no other daemon needs it.
func (o *opens) close(remove bool) error {
	err := unix.Munmap(o.memory)
	if remove {
		err = errors.Join(err, os.Remove(o.file))
	}
	return err
}
