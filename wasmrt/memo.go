package wasmrt

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeebo/blake3"
)

// A Memo keeps what programs did, so that the same run need not happen again: README.md says which runs are the same. Many goroutines may use it.
type Memo interface {
	// Recall returns the record of a key; nil is none. The Host checks it.
	Recall(key [32]byte) []byte
	// Remember keeps the record of a key, in place of an earlier one.
	Remember(key [32]byte, record []byte)
}

// memoVersion is the version of keys and records, and of what programs see: change it when one of them changes.
const memoVersion = "nuka memo 2"

const (
	// maxMemoRecord bounds the files and output of one record in bytes, maxMemoOutput the output, and maxMemoSeen the number of files looked at.
	maxMemoRecord = 24 << 20
	maxMemoOutput = 1 << 20
	maxMemoSeen   = 100_000
	// maxMemoArg bounds the length of a file that an argument names.
	maxMemoArg = 256 << 20
	// leastMemo is how long a run takes that is worth a record.
	leastMemo = 10 * time.Millisecond
)

// memoState is the part of a Host that belongs to its Memo.
type memoState struct {
	hits, runs atomic.Int64
}

// Remembered returns how many programs need not run because the Memo had their results, and how many did run that it was asked for.
func (h *Host) Remembered() (hits, runs int64) { return h.memo.hits.Load(), h.memo.runs.Load() }

// compilers are programs that read no variable of ignoredVariables: clang and LLVM's tools.
var compilers = []string{"clang", "clang++", "wasm-ld", "ar", "ranlib", "nm", "objcopy", "objdump", "size", "strip"}

// ignoredVariables are variables that make sets for the makes below it, and those that tell configure and make how to call a compiler. They change
// without changing what compilers do.
var ignoredVariables = []string{
	"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKE_TERMOUT", "MAKE_TERMERR", "MAKEOVERRIDES", "GNUMAKEFLAGS",
	"CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LIBS", "OLDPWD", "SHLVL", "_",
}

// A recording notes what a program sees and does, or a command with all its processes, for a record under its key. Its methods do nothing on nil.
type recording struct {
	h     *Host
	p     *proc
	fs    *FS // what it looks at: that of the command or of the host
	whole bool
	key   [32]byte
	began time.Time
	// pass writes output of a record to where the program's goes.
	pass func(stream int, b []byte) errno

	mu      sync.Mutex // guards what follows, for the processes of a command
	seen    map[string]*memoSeen
	touched map[string]bool
	record  memoRecord
	size    int
	budget  *memoryBudget
	// spoiled says why the run cannot be remembered.
	spoiled atomic.Pointer[string]
}

// A memoRecord is what a program saw of files that may be different another time, and what it did.
type memoRecord struct {
	Seen   []memoSeen   `json:"seen"`
	Files  []memoFile   `json:"files"`
	Output []memoOutput `json:"output"`
	Exit   int          `json:"exit"`
}

// memoSeen is what a program saw at a path: nothing with kind 0. Content and list are hashes, and set if the program opened the file or listed the folder. The list
// is without the names in Except, which the program made or removed itself.
type memoSeen struct {
	Path    string   `json:"path"`
	Kind    fileKind `json:"kind"`
	Exec    bool     `json:"exec,omitempty"`
	Young   bool     `json:"young,omitempty"`
	Size    int64    `json:"size,omitempty"`
	Target  string   `json:"target,omitempty"`
	Content []byte   `json:"content,omitempty"`
	List    []byte   `json:"list,omitempty"`
	Except  []string `json:"except,omitempty"`
	names   []dirent // of the list
}

// memoFile is a file, folder or link that a program wrote or removed; kind 0 is nothing.
type memoFile struct {
	Path    string   `json:"path"`
	Kind    fileKind `json:"kind"`
	Exec    bool     `json:"exec,omitempty"`
	Target  string   `json:"target,omitempty"`
	Content []byte   `json:"content,omitempty"`
}

type memoOutput struct {
	Stream int    `json:"stream"`
	Text   []byte `json:"text"`
}

// record returns the recording of a program that is about to run, or nil if its result is not to be remembered: a program with other calls
// than WASI's can reach what a recording does not see.
func (h *Host) record(p *proc, load *loadedProgram) *recording {
	if h.Memo == nil || h.Real || load.mod.scan.beyondWASI || !p.fs.still() {
		return nil
	}
	r := &recording{h: h, p: p, fs: p.fs, seen: map[string]*memoSeen{}, touched: map[string]bool{}}
	key := newMemoKey("program", load, p)
	compiles := slices.Contains(compilers, load.name())
	key.put(slices.DeleteFunc(slices.Clone(p.env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return compiles && slices.Contains(ignoredVariables, name)
	})...)
	for i := range 3 {
		kind := r.openStd(i)
		if kind == "" {
			return nil
		}
		key.put(kind)
	}
	if !key.mounts(p.fs) {
		return nil
	}
	for _, arg := range p.args[1:] {
		r.argument(key, arg)
	}
	key.Sum(r.key[:0])
	r.pass = func(stream int, b []byte) errno {
		f := p.fds[stream]
		if f == nil {
			return eOK
		}
		s, ok := f.file.(*stdFile)
		if !ok {
			return eOK // /dev/null
		}
		_, e := s.pass(b, f.atEnd)
		return e
	}
	return r
}

// recordCommand is record for a command with processes, whose output passes through tees; nil if they are nil.
func (h *Host) recordCommand(p *proc, load *loadedProgram, tees *tees) *recording {
	if tees == nil {
		return nil
	}
	r := &recording{h: h, p: p, fs: h.FS, whole: true, seen: map[string]*memoSeen{}, touched: map[string]bool{}, pass: tees.pass}
	key := newMemoKey("command", load, p)
	key.put(p.env...)
	if !key.mounts(h.FS) {
		return nil
	}
	for _, arg := range p.args[1:] {
		r.argument(key, arg)
	}
	key.Sum(r.key[:0])
	tees.record = r
	return r
}

// A memoKey hashes all that a program gets but files.
type memoKey struct{ *blake3.Hasher }

func newMemoKey(what string, load *loadedProgram, p *proc) memoKey {
	k := memoKey{blake3.New()}
	k.put(memoVersion, what, string(load.mod.key[:]), p.cwd, strconv.FormatInt(p.clock.mono, 10))
	k.put(p.args...)
	k.put(load.self...)
	k.put(load.exe)
	return k
}

func (k memoKey) put(list ...string) {
	_ = binary.Write(k, binary.LittleEndian, uint64(len(list))) // writing to a hash never fails
	for _, s := range list {
		_ = binary.Write(k, binary.LittleEndian, uint64(len(s)))
		_, _ = k.WriteString(s)
	}
}

// mounts adds the mounts and the content of trees. It returns false if nothing identifies the content of one.
func (k memoKey) mounts(f *FS) bool {
	for _, at := range slices.Sorted(maps.Keys(f.mounts)) {
		m := f.mounts[at]
		what := "folder"
		if t, ok := m.b.(*Tree); ok && !m.source {
			if what = t.root.key; what == "" {
				return false
			}
		}
		k.put(at, what)
	}
	return true
}

// still reports whether nothing but the programs of the host changes the directories, and these have no times of their own.
func (f *FS) still() bool {
	for _, m := range f.mounts {
		if d, ok := m.b.(*Dir); ok && d.opts.Shared {
			return false
		}
	}
	return true
}

// openStd lets the recording see a standard stream, and says what of it the program sees; "" means that it may see anything.
func (r *recording) openStd(n int) string {
	f := r.p.fds[n]
	if f == nil {
		return "closed"
	}
	if d, ok := f.file.(*device); ok && n == 0 {
		f.file, f.write = &stdFile{file: d, p: r.p}, false
	}
	rights := string([]byte{bit(f.read), bit(f.write), bit(f.atEnd), bit(f.nonblock)})
	switch s := f.file.(type) {
	case *device:
		return s.name + rights
	case *stdFile:
		s.record = r
		return "stream" + rights
	case *stream:
		if s.kind == kindPipe {
			f.file = &stdFile{file: s, p: r.p, n: n, record: r}
			return "stream" + rights
		}
	}
	return ""
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// argument adds the content of a file that an argument names to the key: the sources and objects of a compiler, which it needs in any case.
// So runs that differ in nothing else, as those of configure scripts, have records of their own.
func (r *recording) argument(key memoKey, arg string) {
	name := strings.TrimPrefix(arg, "@")
	if name == "" || name[0] == '-' {
		return
	}
	l, e := r.p.fs.walk(r.p.cwd, name, true)
	if e != eOK || l.info.kind != kindFile || l.info.size > maxMemoArg {
		return
	}
	m, rel := r.p.fs.cover(l.path)
	if m == nil {
		return
	}
	if _, ok := m.b.(*Tree); ok && !m.source {
		return
	}
	if sum, e := contentOf(m.b, rel); e == eOK {
		key.put(arg, string(sum))
	}
}

// contentOf returns the hash of a file's content.
func contentOf(b backend, rel string) ([]byte, errno) {
	if w, ok := b.(*watched); ok {
		return w.content(rel)
	}
	f, e := b.open(rel, openRead)
	if e != eOK {
		return nil, e
	}
	defer f.close()
	h, buf := blake3.New(), make([]byte, 64<<10)
	for off := int64(0); ; {
		n, e := f.pread(buf, off)
		if e != eOK {
			return nil, e
		}
		if n == 0 {
			return h.Sum(nil), eOK
		}
		_, _ = h.Write(buf[:n])
		off += int64(n)
	}
}
