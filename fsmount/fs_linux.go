package fsmount

import (
	"errors"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
)

const (
	topID = 1 // the node id of the top
	// forever is how long the kernel may keep what it knows about names and entries of trees, which do not change.
	forever = 365 * 24 * time.Hour
	// topTime is how long the kernel may keep the attributes of the top, which it needs on each way to a file, and a listing of the top.
	topTime = time.Second
	// generation is the same for each node id, because a node id never gets another meaning.
	generation = 1
	blockSize  = 4096
)

// A fileSystem answers the requests of one connection.
type fileSystem struct {
	fuse.RawFileSystem
	*core
	owner fuse.Owner
	files *files
	root  string // the folder of the store, for its disk
	// look has the holder look at a path in the mount, as another program would.
	look func(path string)
	told sync.Once // the kernel was told to open files on its own
}

func (*fileSystem) String() string     { return "nuka" }
func (*fileSystem) Forget(_, _ uint64) {}

// status returns what the kernel gets to know about an error.
func (f *fileSystem) status(what string, err error) fuse.Status {
	switch {
	case err == nil:
		return fuse.OK
	case errors.Is(err, errCanceled):
		return fuse.EINTR
	}
	f.log.Error("mount", "operation", what, "error", err)
	return fuse.EIO
}

// A place is an entry of a slot's tree.
type place struct {
	slot
	number uint32
	tree   *tree
	at     uint32
}

func (p *place) id(at uint32) uint64 { return uint64(p.number)<<32 | uint64(at) }
func (p *place) entry() *entry       { return &p.tree.entries[p.at] }

// place finds a node id. ESTALE: its tree is no longer in the store.
func (f *fileSystem) place(w waiter, id uint64) (place, fuse.Status) {
	number := uint32(id >> 32)
	s, ok := f.slots.at(number)
	if !ok {
		return place{}, fuse.Status(syscall.ESTALE)
	}
	t := f.trees.cached(s.cid)
	if t == nil {
		var err error
		t, err = await(f.core, w, func() (*tree, error) { return f.trees.get(f.ctx, s.cid) }, nil)
		if errors.Is(err, cas.ErrNotFound) {
			return place{}, fuse.Status(syscall.ESTALE)
		}
		if err != nil {
			return place{}, f.status("read a tree", err)
		}
	}
	if uint64(uint32(id)) >= uint64(len(t.entries)) {
		return place{}, fuse.Status(syscall.ESTALE)
	}
	return place{s, number, t, uint32(id)}, fuse.OK
}

func (f *fileSystem) attr(p *place, at uint32, a *fuse.Attr) {
	e := &p.tree.entries[at]
	*a = fuse.Attr{Ino: p.id(at), Nlink: 1, Mtime: 1, Ctime: 1, Atime: 1, Owner: f.owner, Blksize: blockSize}
	switch e.kind {
	case cas.Dir:
		a.Mode = syscall.S_IFDIR | 0o555
		a.Nlink = 2 + e.subs
		a.Size = blockSize
	case cas.Symlink:
		a.Mode = syscall.S_IFLNK | 0o777
		a.Size = uint64(e.size)
	default:
		a.Mode = syscall.S_IFREG | 0o444
		if e.flags&flagExec != 0 {
			a.Mode |= 0o111
		}
		a.Size = uint64(e.size)
	}
	a.Blocks = (a.Size + 511) / 512
}

func (f *fileSystem) entryOut(p *place, at uint32, out *fuse.EntryOut) {
	out.NodeId, out.Generation = p.id(at), generation
	f.attr(p, at, &out.Attr)
	out.SetEntryTimeout(forever)
	out.SetAttrTimeout(forever)
}

// Lookup answers the names of the top from the store each time, and lets the kernel keep that a name in a tree does not exist.
func (f *fileSystem) Lookup(cancel <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if h.NodeId == topID {
		return f.lookupTop(opener(cancel), name, out)
	}
	p, st := f.place(process(cancel, h), h.NodeId)
	if !st.Ok() {
		return st
	}
	at := p.tree.find(p.at, name)
	if at == 0 {
		out.NodeId = 0
		out.SetEntryTimeout(forever)
		return fuse.OK
	}
	f.entryOut(&p, at, out)
	return fuse.OK
}

func (f *fileSystem) lookupTop(w waiter, name string, out *fuse.EntryOut) fuse.Status {
	id, err := pir.ParsePID(name)
	if err != nil {
		return fuse.ENOENT
	}
	p, err := await(f.core, w, func() (place, error) {
		number, t, err := f.lookup(id)
		return place{number: number, tree: t}, err
	}, nil)
	if errors.Is(err, cas.ErrNotFound) {
		return fuse.ENOENT
	}
	if err != nil {
		return f.status("look up "+id.Short(), err)
	}
	f.entryOut(&p, 0, out)
	return fuse.OK
}

// GetAttr implements fuse.RawFileSystem. The top has a new time of change whenever the kernel asks for it, so the kernel then asks for a listing again.
func (f *fileSystem) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if in.NodeId == topID {
		now := time.Now()
		out.Attr = fuse.Attr{Ino: topID, Mode: syscall.S_IFDIR | 0o555, Nlink: 1, Owner: f.owner, Blksize: blockSize, Atime: 1}
		out.Attr.Mtime, out.Attr.Mtimensec = uint64(now.Unix()), uint32(now.Nanosecond())
		out.Attr.Ctime, out.Attr.Ctimensec = out.Attr.Mtime, out.Attr.Mtimensec
		out.SetTimeout(topTime)
		return fuse.OK
	}
	p, st := f.place(process(cancel, &in.InHeader), in.NodeId)
	if !st.Ok() {
		return st
	}
	f.attr(&p, p.at, &out.Attr)
	out.SetTimeout(forever)
	return fuse.OK
}

// Readlink implements fuse.RawFileSystem.
func (f *fileSystem) Readlink(cancel <-chan struct{}, h *fuse.InHeader) ([]byte, fuse.Status) {
	p, st := f.place(process(cancel, h), h.NodeId)
	if !st.Ok() {
		return nil, st
	}
	if p.entry().kind != cas.Symlink {
		return nil, fuse.EINVAL
	}
	return p.tree.target(p.at), fuse.OK
}

// OpenDir tells the kernel, by its error, that folders need not be opened, and that their listings may be kept.
func (*fileSystem) OpenDir(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status {
	return fuse.ENOSYS
}

// ReadDir implements fuse.RawFileSystem.
func (f *fileSystem) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, out, false)
}

// ReadDirPlus implements fuse.RawFileSystem.
func (f *fileSystem) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, out, true)
}

// add adds an entry to a listing; false if there is no room. fill, which may be nil, adds what a look-up would return.
func add(out *fuse.DirEntryList, plus bool, e fuse.DirEntry, fill func(*fuse.EntryOut)) bool {
	if !plus {
		return out.AddDirEntry(e)
	}
	eo := out.AddDirLookupEntry(e)
	if eo == nil {
		return false
	}
	*eo = fuse.EntryOut{}
	if fill != nil {
		fill(eo)
	}
	return true
}

var fileType = map[cas.Kind]uint32{cas.Dir: syscall.S_IFDIR, cas.File: syscall.S_IFREG, cas.Symlink: syscall.S_IFLNK}

// readDir lists a folder. The offset of an entry is its position, with "." and ".." first.
func (f *fileSystem) readDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList, plus bool) fuse.Status {
	if in.NodeId == topID {
		return f.readTop(cancel, in, out, plus)
	}
	p, st := f.place(process(cancel, &in.InHeader), in.NodeId)
	if !st.Ok() {
		return st
	}
	if p.entry().kind != cas.Dir {
		return fuse.ENOTDIR
	}
	above := uint64(topID)
	if p.at != 0 {
		above = p.id(p.entry().parent)
	}
	kids := p.tree.children(p.at)
	for i := in.Offset; i < uint64(len(kids))+2; i++ {
		e := fuse.DirEntry{Off: i + 1, Mode: syscall.S_IFDIR}
		switch i {
		case 0:
			e.Name, e.Ino = ".", in.NodeId
		case 1:
			e.Name, e.Ino = "..", above
		default:
			at := kids[i-2]
			e.Name, e.Ino, e.Mode = string(p.tree.name(at)), p.id(at), fileType[p.tree.entries[at].kind]
			if !add(out, plus, e, func(eo *fuse.EntryOut) { f.entryOut(&p, at, eo) }) {
				return fuse.OK
			}
			continue
		}
		if !add(out, plus, e, nil) {
			return fuse.OK
		}
	}
	return fuse.OK
}

// readTop lists the packages. The offset of an entry is two more than the number of its slot, so a position stays right while packages come and go.
// The entries are names only: what a look-up returns would need the tree of each.
func (f *fileSystem) readTop(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList, plus bool) fuse.Status {
	for i, name := range []string{".", ".."} {
		if in.Offset <= uint64(i) && !add(out, plus, fuse.DirEntry{Off: uint64(i) + 1, Mode: syscall.S_IFDIR, Ino: topID, Name: name}, nil) {
			return fuse.OK
		}
	}
	numbers, err := await(f.core, process(cancel, &in.InHeader), func() ([]uint32, error) { return f.list(in.Offset == 0) }, nil)
	if err != nil {
		return f.status("list the packages", err)
	}
	first := sort.Search(len(numbers), func(i int) bool { return uint64(numbers[i])+1 >= in.Offset })
	for _, n := range numbers[first:] {
		s, _ := f.slots.at(n)
		e := fuse.DirEntry{Off: uint64(n) + 2, Ino: uint64(n) << 32, Mode: fileType[f.slots.kind(n)], Name: s.pid.String()}
		if !add(out, plus, e, nil) {
			return fuse.OK
		}
	}
	return fuse.OK
}

// StatFs returns the figures of the store's disk.
func (f *fileSystem) StatFs(_ <-chan struct{}, _ *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	var st unix.Statfs_t
	if err := unix.Statfs(f.root, &st); err != nil {
		return f.status("statfs", err)
	}
	*out = fuse.StatfsOut{
		Blocks: st.Blocks, Bfree: st.Bfree, Bavail: st.Bavail, Files: st.Files, Ffree: st.Ffree,
		Bsize: uint32(st.Bsize), Frsize: uint32(st.Frsize), NameLen: 255,
	}
	return fuse.OK
}
