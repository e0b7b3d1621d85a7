package wasmrt

// Rights of a descriptor, by their bits in the WASI interface.
const (
	rightDatasync uint64 = 1 << iota
	rightRead
	rightSeek
	rightSetFlags
	rightSync
	rightTell
	rightWrite
	rightAdvise
	rightAllocate
	rightMkdir
	rightCreate
	rightLinkSource
	rightLinkTarget
	rightOpen
	rightReaddir
	rightReadlink
	rightRenameSource
	rightRenameTarget
	rightPathStat
	rightPathSetSize
	rightPathSetTimes
	rightStat
	rightSetSize
	rightSetTimes
	rightSymlink
	rightRmdir
	rightUnlink
	rightPoll
	rightShutdown
	rightAccept

	rightsAll  = rightAccept<<1 - 1
	rightsFile = rightDatasync | rightRead | rightSeek | rightSetFlags | rightSync | rightTell | rightWrite |
		rightAdvise | rightAllocate | rightStat | rightSetSize | rightSetTimes | rightPoll
	rightsDir = rightsAll &^ (rightRead | rightSeek | rightTell | rightWrite | rightAllocate | rightSetSize)
)

// A need is the right that a call needs of the descriptor in one of its arguments.
type need struct {
	arg   int
	right uint64
}

// needs makes a call answer ENOTCAPABLE when the program gave up a right that it needs.
// A call that names no open descriptor is left to answer that itself.
func needs(fn call, list ...need) call {
	return func(p *proc, m memory, a []uint64) errno {
		for _, n := range list {
			if f, e := p.get(a[n.arg]); e == eOK && f.lost&n.right != 0 {
				return eNotcapable
			}
		}
		return fn(p, m, a)
	}
}

// kind returns what is open.
func (f *fd) kind() (fileKind, errno) {
	if f.file == nil {
		return kindDir, eOK
	}
	i, e := f.file.stat()
	return i.kind, e
}

// rights returns what a descriptor may be used for, and what those that are opened by paths from it may be used for.
func (f *fd) rights(kind fileKind) (base, inherit uint64) {
	if kind == kindDir {
		return rightsDir &^ f.lost, rightsAll &^ f.lostBelow
	}
	base = rightsFile
	if kind == kindTTY || kind == kindPipe {
		// wasi-libc takes a character device that cannot seek for a terminal.
		base &^= rightSeek | rightTell
	}
	if !f.read {
		base &^= rightRead
	}
	if !f.write {
		base &^= rightWrite
	}
	return base &^ f.lost, 0
}

// fdFdstatSetRights gives rights up; none comes back.
func fdFdstatSetRights(p *proc, _ memory, a []uint64) errno {
	f, e := p.get(a[0])
	if e != eOK {
		return e
	}
	kind, e := f.kind()
	if e != eOK {
		return e
	}
	base, inherit := f.rights(kind)
	if a[1]&^base != 0 || a[2]&^inherit != 0 {
		return eNotcapable
	}
	f.lost |= base &^ a[1]
	f.lostBelow |= inherit &^ a[2]
	return eOK
}
