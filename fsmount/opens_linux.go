package fsmount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	openSize = 16    // bytes of a record
	maxOpen  = 65536 // files of one connection that are open at once
)

// opens is the table of the open files of one connection, in a file that is mapped into memory: a daemon that is killed leaves it to the next one,
// which must use the backing ids that the kernel has for open files. A record is a node id, a backing id and the number of opens; the number is
// zero in a free record. After a crash the number can be too high by the opens that were in progress, and is never too low.
// The caller locks.
type opens struct {
	file   string
	memory []byte
	at     map[uint64]int // node id → record
	free   []int
}

// loadOpens maps the table at path, and creates an empty one if there is none.
func loadOpens(path string) (*opens, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("table of open files: %w", err)
	}
	defer f.Close()                                                    //nolint:errcheck // the mapping stays
	err = unix.Fallocate(int(f.Fd()), 0, 0, openSize*maxOpen)          // a write to a hole of a full disk would kill the process
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINTR) { // EINTR: the next daemon finds the rest
		err = f.Truncate(openSize * maxOpen)
	}
	var memory []byte
	if err == nil {
		memory, err = unix.Mmap(int(f.Fd()), 0, openSize*maxOpen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		return nil, fmt.Errorf("table of open files %s: %w", path, err)
	}
	o := &opens{file: path, memory: memory, at: map[uint64]int{}}
	for i := maxOpen - 1; i >= 0; i-- {
		if o.count(i) == 0 {
			o.free = append(o.free, i)
		} else {
			o.at[o.node(i)] = i
		}
	}
	return o, nil
}

func (o *opens) record(i int) []byte      { return o.memory[i*openSize : (i+1)*openSize] }
func (o *opens) node(i int) uint64        { return binary.LittleEndian.Uint64(o.record(i)) }
func (o *opens) backing(i int) int32      { return int32(binary.LittleEndian.Uint32(o.record(i)[8:])) }
func (o *opens) count(i int) uint32       { return binary.LittleEndian.Uint32(o.record(i)[12:]) }
func (o *opens) setCount(i int, n uint32) { binary.LittleEndian.PutUint32(o.record(i)[12:], n) }

// again counts one more open of a file that is open, and returns its backing id; false if the file is not open.
func (o *opens) again(node uint64) (backing int32, open bool) {
	i, open := o.at[node]
	if !open {
		return 0, false
	}
	o.setCount(i, o.count(i)+1)
	return o.backing(i), true
}

// full reports whether no other file can be opened.
func (o *opens) full() bool { return len(o.free) == 0 }

// first records the first open of a file. The table must not be full.
func (o *opens) first(node uint64, backing int32) {
	i := o.free[len(o.free)-1]
	o.free = o.free[:len(o.free)-1]
	binary.LittleEndian.PutUint64(o.record(i), node)
	binary.LittleEndian.PutUint32(o.record(i)[8:], uint32(backing))
	o.setCount(i, 1) // last: a record without a number is free
	o.at[node] = i
}

// release takes back one open. last: the file is no longer open, and its backing id is to be given back.
func (o *opens) release(node uint64) (backing int32, last bool) {
	i, open := o.at[node]
	if !open {
		return 0, false
	}
	o.setCount(i, o.count(i)-1)
	if o.count(i) > 0 {
		return 0, false
	}
	delete(o.at, node)
	o.free = append(o.free, i)
	return o.backing(i), true
}

// close unmaps the table. remove: the connection has ended, and no other daemon needs it.
func (o *opens) close(remove bool) error {
	err := unix.Munmap(o.memory)
	if remove {
		err = errors.Join(err, os.Remove(o.file))
	}
	return err
}
