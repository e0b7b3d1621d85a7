package wasmrt

// Rights of a descriptor, as bits of the WASI interface.
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

// A need is the right that a call requires of the descriptor in one of its arguments.
type need struct {
	arg   int
	right uint64
}

// needs makes a call answer ENOTCAPABLE if the program gave up a required right.
// If an argument is no open descriptor, fn itself answers with the error.
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

// kind returns the type of the open file.
func (f *fd) kind() (fileKind, errno) {
	if f.file == nil {
		return kindDir, eOK
	}
	i, e := f.file.stat()
	return i.kind, e
}

// rights returns the rights of a descriptor, and the rights that descriptors opened by paths from it inherit.
func (f *fd) rights(kind fileKind) (base, inherit uint64) {
	if kind == kindDir {
		return rightsDir &^ f.lost, rightsAll &^ f.lostBelow
	}
	base = rightsFile
	if kind == kindSocket {
		base = rightRead | rightWrite | rightSetFlags | rightStat | rightPoll | rightShutdown | rightAccept
	}
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

// fdFdstatSetRights removes rights from a descriptor. A program cannot get them back.
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
