package wasmrt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/tetratelabs/wazero/api"
)

// saved is the state of a process that does not run: its machine stack, its memory and globals, and the call that it is in.
type saved struct {
	at      *checkpoint
	mem     []byte // from the byte from on; all after it is zero
	from    uint32
	globals [][2]uint64
	// fn is called again with args when the process goes on. If it is nil, the call has the result ret.
	fn   call
	args []uint64
	ret  uint64
}

// maxSpare is the largest buffer that an image keeps for the next state.
const maxSpare = 64 << 20

// reserve makes sure that a process has n bytes for its state. It keeps them until it leaves the image, so that the states of processes that
// have been forked always have room.
func (img *image) reserve(p *proc, n int64) errno {
	if more := n - p.reserved; more > 0 {
		if !img.k.states.take(more) {
			return eNomem
		}
		p.reserved = n
	}
	return eOK
}

// keep returns the state of the running process.
func (img *image) keep(ctx context.Context) (*saved, errno) {
	at, err := takeCheckpoint(ctx)
	if err != nil {
		return nil, eNosys
	}
	s := &saved{at: at, from: img.live()}
	for _, c := range img.cells {
		low, high := c.Value()
		s.globals = append(s.globals, [2]uint64{low, high})
	}
	used := img.used(s.from)
	if e := img.reserve(img.cur, int64(len(used)+at.bytes)); e != eOK {
		return nil, e
	}
	if cap(img.spare) >= len(used) {
		s.mem, img.spare = img.spare[:len(used)], nil
	} else {
		s.mem = make([]byte, len(used), len(used)+len(used)/8)
	}
	copy(s.mem, used)
	return s, eOK
}

// load makes a state the one of the instance again, except for the machine stack.
func (img *image) load(s *saved) {
	memory := img.memory(s.from)
	n := copy(memory, s.mem)
	clear(memory[n:max(n, len(img.used(s.from)))])
	for i, c := range img.cells {
		c.SetValue(s.globals[i][0], s.globals[i][1])
	}
}

// restore is load for a state that is not needed any more.
func (img *image) restore(s *saved) {
	img.load(s)
	if cap(s.mem) <= maxSpare {
		img.spare = s.mem
	}
	s.mem = nil
}

// memory returns the memory of the instance from a byte on.
func (img *image) memory(from uint32) []byte {
	m := img.mod.Memory()
	if m == nil {
		return nil
	}
	b, _ := m.Read(from, m.Size()-from)
	return b
}

// zeros is compared with memory, and blockSize long.
var zeros [blockSize]byte

const blockSize = 4096

// used returns the memory from a byte on without the zeros at its end. Another process of the image may have made the memory longer: it cannot
// become shorter again.
func (img *image) used(from uint32) []byte {
	b := img.memory(from)
	for len(b) > 0 {
		at := (len(b) - 1) &^ (blockSize - 1)
		if !bytes.Equal(b[at:], zeros[:len(b)-at]) {
			break
		}
		b = b[:at]
	}
	return b
}

// live returns where the memory begins that belongs to the state of the running process. If the stack comes first in memory, all before the stack pointer is
// dead: a large stack costs nothing.
func (img *image) live() uint32 {
	if img.stack == nil {
		return 0
	}
	sp := uint32(img.stack.Get())
	if m := img.mod.Memory(); m == nil || sp > m.Size() || sp < 2*blockSize {
		return 0
	}
	return sp&^(blockSize-1) - blockSize
}

// stackFirst returns the stack pointer if the program exports it and its stack comes before all data (wasm-ld --stack-first).
func (img *image) stackFirst(scan *moduleScan) api.Global {
	g := img.mod.ExportedGlobal("__stack_pointer")
	if g == nil || g.Type() != api.ValueTypeI32 || scan.dataFrom == 0 || uint32(g.Get()) > scan.dataFrom {
		return nil
	}
	return g
}

// suspend keeps the running process aside in a call that has to wait. If there is no memory for its state, the process ends.
func (img *image) suspend(ctx context.Context, p *proc, fn call, args []uint64) {
	s, e := img.keep(ctx)
	if e != eOK {
		img.k.say("%s (pid %d): ended, because there is no memory to keep it while it waits: %v", p.name, p.pid, e)
		img.remove(p, sigkill)
		return
	}
	s.fn, s.args = fn, slices.Clone(args)
	p.saved = s
}

// resume goes on with a process that was kept aside. It does not return.
func (img *image) resume(p *proc) {
	for {
		s := p.saved
		p.saved = nil
		img.cur = p
		img.restore(s)
		if s.fn == nil {
			s.at.goBack(s.ret)
		}
		next := p
		for next == p {
			m := memory{img.mod.Memory()}
			e := img.attempt(p, s.fn, m, slices.Clone(s.args))
			if e != eBlock {
				s.at.goBack(uint64(e))
			}
			if e, ended := p.interrupted(m); ended {
				s.at.goBack(uint64(e))
			}
			next = img.pick()
		}
		if slices.Contains(img.procs, p) {
			img.keepAgain(p, s)
		}
		if next == nil {
			img.goOn(nil)
		}
		p = next
	}
}

// keepAgain keeps a process aside whose call has to wait once more. Its stack has not changed, but the call may have written to its memory.
func (img *image) keepAgain(p *proc, s *saved) {
	used := img.used(s.from)
	if img.reserve(p, int64(len(used)+s.at.bytes)) != eOK {
		img.k.say("%s (pid %d): ended, because there is no memory to keep it while it waits", p.name, p.pid)
		img.remove(p, sigkill)
		return
	}
	s.mem = append(img.spare[:0], used...)
	img.spare = nil
	p.saved = s
}

// jumps are the places that a process can return to by longjmp. setjmp writes the number of the place into the buffer, so that a copy of the buffer means the
// same place, even if setjmp has used the first buffer again since.
type jumps struct {
	at    map[uint64]*jump
	of    map[uint32][]uint64 // the places of each buffer, the outermost first
	last  uint64              // the last number that was given
	bytes int64
	prune int // the number at which dead places are looked for
}

// A jump is a place that setjmp has noted.
type jump struct {
	at      *checkpoint
	buf     uint32
	globals [][2]uint64
}

// forgetAll drops all places, and returns how much memory they had.
func (j *jumps) forgetAll() int64 {
	n := j.bytes
	*j = jumps{}
	return n
}

var errNoJump = errors.New("longjmp to a place that setjmp has not noted")

// setjmp notes the place of the host call that runs.
func (img *image) setjmp(ctx context.Context, m memory, buf uint32) errno {
	at, err := takeCheckpoint(ctx)
	if err != nil {
		return eNosys
	}
	at.again()
	j := &img.cur.jumps
	if j.at == nil {
		*j = jumps{at: map[uint64]*jump{}, of: map[uint32][]uint64{}, last: j.last, prune: 64}
	}
	// A place in this function, or further in, cannot be wanted any more. One further out may be: its function may have a copy of the buffer.
	for ids := j.of[buf]; len(ids) > 0 && j.at[ids[len(ids)-1]].at.depth() >= at.depth(); ids = j.of[buf] {
		j.drop(img, ids[len(ids)-1])
	}
	if len(j.at) >= j.prune {
		// A function that noted a place and has returned since had more of the stack in use than there is now.
		for id, old := range j.at {
			if old.at.depth() > at.depth() {
				j.drop(img, id)
			}
		}
		j.prune = max(64, 2*len(j.at))
	}
	if !img.k.states.take(int64(at.bytes)) {
		return eNomem
	}
	j.bytes += int64(at.bytes)
	n := &jump{at: at, buf: buf}
	for _, c := range img.cells {
		low, high := c.Value()
		n.globals = append(n.globals, [2]uint64{low, high})
	}
	j.last++
	j.at[j.last] = n
	j.of[buf] = append(j.of[buf], j.last)
	return m.put64(uint64(buf), j.last)
}

// drop forgets one place.
func (j *jumps) drop(img *image, id uint64) {
	old := j.at[id]
	delete(j.at, id)
	rest := slices.DeleteFunc(j.of[old.buf], func(other uint64) bool { return other == id })
	if len(rest) == 0 {
		delete(j.of, old.buf)
	} else {
		j.of[old.buf] = rest
	}
	j.bytes -= int64(old.at.bytes)
	img.k.states.give(int64(old.at.bytes))
}

// fork gives a forked process the same places.
func (j *jumps) fork(states *memoryBudget, c *jumps) errno {
	if len(j.at) == 0 {
		return eOK
	}
	if !states.take(j.bytes) {
		return eNomem
	}
	*c = jumps{at: maps.Clone(j.at), of: maps.Clone(j.of), last: j.last, bytes: j.bytes, prune: j.prune}
	for buf, ids := range c.of {
		c.of[buf] = slices.Clone(ids)
	}
	return eOK
}

// longjmp returns to a place. It does not return to its caller.
func (img *image) longjmp(m memory, buf uint32, value uint64) {
	b, e := m.bytes(uint64(buf), 8)
	if e != eOK {
		panic(errNoJump)
	}
	j := img.cur.jumps.at[binary.LittleEndian.Uint64(b)]
	if j == nil {
		panic(errNoJump)
	}
	for i, c := range img.cells {
		c.SetValue(j.globals[i][0], j.globals[i][1])
	}
	j.at.goBack(value)
}
