package wasmrt

import (
	"encoding/binary"
	"encoding/json"
	"hash"
	"maps"
	"path"
	"slices"
	"strings"
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
const memoVersion = "nuka memo 1"

const (
	// maxMemoRecord bounds the files and output of one record in bytes, maxMemoOutput the output, and maxMemoSeen the number of files looked at.
	maxMemoRecord = 24 << 20
	maxMemoOutput = 1 << 20
	maxMemoSeen   = 20_000
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

// ignoredVariables are variables that make sets for the makes below it, and those that tell configure and make how to call a compiler. They change
// without changing what a program does that is no make and no shell.
var ignoredVariables = []string{
	"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKE_TERMOUT", "MAKE_TERMERR", "MAKEOVERRIDES", "GNUMAKEFLAGS",
	"CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "LIBS", "OLDPWD", "SHLVL", "_",
}

// A recording notes what a program sees and does, for a record under its key. Its methods do nothing on nil. One goroutine uses it.
type recording struct {
	h       *Host
	p       *proc
	key     [32]byte
	began   time.Time
	seen    map[string]*memoSeen
	touched map[string]bool
	record  memoRecord
	size    int
	budget  *memoryBudget
	spoiled string // why the run cannot be remembered
}

// A memoRecord is what a program saw of files that may be different another time, and what it did.
type memoRecord struct {
	Seen   []memoSeen   `json:"seen"`
	Files  []memoFile   `json:"files"`
	Output []memoOutput `json:"output"`
	Exit   int          `json:"exit"`
}

// memoSeen is what a program saw at a path: nothing with kind 0. Content and list are hashes, and set if the program opened the file or listed the folder.
type memoSeen struct {
	Path    string   `json:"path"`
	Kind    fileKind `json:"kind"`
	Exec    bool     `json:"exec,omitempty"`
	Young   bool     `json:"young,omitempty"`
	Size    int64    `json:"size,omitempty"`
	Target  string   `json:"target,omitempty"`
	Content []byte   `json:"content,omitempty"`
	List    []byte   `json:"list,omitempty"`
}

// memoFile is a file that a program wrote or removed.
type memoFile struct {
	Path    string `json:"path"`
	Gone    bool   `json:"gone,omitempty"`
	Exec    bool   `json:"exec,omitempty"`
	Content []byte `json:"content,omitempty"`
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
	r := &recording{h: h, p: p, seen: map[string]*memoSeen{}, touched: map[string]bool{}}
	key := blake3.New()
	put := func(list ...string) {
		_ = binary.Write(key, binary.LittleEndian, uint64(len(list))) // writing to a hash never fails
		for _, s := range list {
			_ = binary.Write(key, binary.LittleEndian, uint64(len(s)))
			_, _ = key.WriteString(s)
		}
	}
	put(memoVersion, string(load.mod.key[:]), p.cwd)
	put(p.args...)
	put(slices.DeleteFunc(slices.Clone(p.env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(ignoredVariables, name)
	})...)
	for _, at := range slices.Sorted(maps.Keys(p.fs.mounts)) {
		m := p.fs.mounts[at]
		what := "folder"
		if t, ok := m.b.(*Tree); ok && !m.source {
			if t.root.key == "" {
				return nil // nothing identifies its content
			}
			what = t.root.key
		}
		put(at, what)
	}
	for i := range 3 {
		if kind := r.openStd(i); kind != "" {
			put(kind)
		} else {
			return nil
		}
	}
	_ = binary.Write(key, binary.LittleEndian, p.clock.mono)
	for _, arg := range p.args[1:] {
		r.argument(key, arg)
	}
	key.Sum(r.key[:0])
	return r
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
func (r *recording) argument(key hash.Hash, arg string) {
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
		key.Write([]byte(arg)) //nolint:errcheck // it never fails
		key.Write(sum)         //nolint:errcheck // it never fails
	}
}

// contentOf returns the hash of a file's content.
func contentOf(b backend, rel string) ([]byte, errno) {
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

// recall looks for the record of a run and does what it says. If there is none, or it is of files that are different now, the program has to run, and the recording
// begins.
func (r *recording) recall() (exit int, ok bool) {
	if r == nil {
		return 0, false
	}
	var record memoRecord
	if b := r.h.Memo.Recall(r.key); b != nil && json.Unmarshal(b, &record) == nil && r.holds(record.Seen) && r.redo(&record) {
		r.h.memo.hits.Add(1)
		return record.Exit, true
	}
	r.h.memo.runs.Add(1)
	r.p.fs = r.watch(r.p.fs)
	r.began = time.Now()
	return 0, false
}

// holds reports whether all that a program saw is so now.
func (r *recording) holds(seen []memoSeen) bool {
	for i := range seen {
		s := &seen[i]
		m, rel := r.h.FS.cover(s.Path)
		if m == nil {
			return false
		}
		i, e := m.b.lstat(rel)
		now, ok := seenAs(s.Path, i, e)
		if !ok || now.Kind != s.Kind || now.Exec != s.Exec || now.Young != s.Young || now.Size != s.Size {
			return false
		}
		if s.Kind == kindSymlink {
			if now.Target, e = m.b.readlink(rel); e != eOK || now.Target != s.Target {
				return false
			}
		}
		if s.Content != nil {
			if sum, e := contentOf(m.b, rel); e != eOK || string(sum) != string(s.Content) {
				return false
			}
		}
		if s.List != nil {
			if sum, e := listOf(m.b, rel); e != eOK || string(sum) != string(s.List) {
				return false
			}
		}
	}
	return true
}

// redo writes the files and the output of a record.
func (r *recording) redo(record *memoRecord) bool {
	for i := range record.Files {
		if r.redoFile(&record.Files[i]) != eOK {
			return false // the program finds out why
		}
	}
	for _, o := range record.Output {
		if o.Stream < 0 || o.Stream > 2 || r.p.fds[o.Stream] == nil {
			continue
		}
		f := r.p.fds[o.Stream]
		s, ok := f.file.(*stdFile)
		if !ok {
			continue // /dev/null
		}
		if _, e := s.pass(o.Text, f.atEnd); e != eOK {
			break
		}
	}
	return true
}

func (r *recording) redoFile(f *memoFile) errno {
	m, rel := r.h.FS.cover(f.Path)
	if m == nil || r.h.FS.under(f.Path) {
		return eRofs
	}
	if i, e := m.b.lstat(rel); e == eOK && i.kind != kindFile {
		return eIsdir
	} else if e == eOK {
		if e := m.b.unlink(rel); e != eOK {
			return e
		}
	} else if e != eNoent {
		return e
	}
	if f.Gone {
		return eOK
	}
	out, e := m.b.create(rel, openWrite)
	if e != eOK {
		return e
	}
	for b := f.Content; len(b) > 0 && e == eOK; {
		var n int
		n, e = out.write(b, false)
		b = b[n:]
	}
	if c := out.close(); e == eOK {
		e = c
	}
	if e == eOK && f.Exec {
		e = m.b.chmod(rel, true)
	}
	return e
}

// keep remembers a run that has ended by itself. Its files must be as it left them.
func (r *recording) keep(exit int) {
	if r == nil || r.began.IsZero() || time.Since(r.began) < leastMemo {
		return
	}
	if r.budget != nil && r.budget.denied.Load() {
		return // it may have given up for lack of memory
	}
	for _, at := range slices.Sorted(maps.Keys(r.touched)) {
		r.result(at)
	}
	for _, at := range slices.Sorted(maps.Keys(r.seen)) {
		r.record.Seen = append(r.record.Seen, *r.seen[at])
	}
	unchanged := slices.DeleteFunc(slices.Clone(r.record.Seen), func(s memoSeen) bool { return r.touched[s.Path] })
	if r.spoiled != "" || !r.holds(unchanged) { // another program has changed what this one saw
		return
	}
	r.record.Exit = exit
	b, err := json.Marshal(&r.record)
	if err == nil {
		r.h.Memo.Remember(r.key, b)
	}
}

// result notes what a program made of a path that it changed.
func (r *recording) result(at string) {
	m, rel := r.h.FS.cover(at)
	i, e := m.b.lstat(rel)
	switch {
	case e == eNoent:
		r.record.Files = append(r.record.Files, memoFile{Path: at, Gone: true})
		return
	case e != eOK || i.kind != kindFile || i.nlink > 1:
		r.spoil("it left something else than files")
		return
	case r.grow(i.size):
		return
	}
	f, e := m.b.open(rel, openRead)
	if e != eOK {
		r.spoil("its file could not be read")
		return
	}
	defer f.close()
	b, err := readAll(f, i.size)
	if err != nil || int64(len(b)) != i.size {
		r.spoil("its file could not be read")
	}
	r.record.Files = append(r.record.Files, memoFile{Path: at, Exec: i.exec, Content: b})
}

// grow accounts for bytes of the record, and reports whether they are too many.
func (r *recording) grow(n int64) bool {
	if int64(r.size)+n > maxMemoRecord {
		r.spoil("its files are too large")
		return true
	}
	r.size += int(n)
	return false
}

// wrote notes output.
func (r *recording) wrote(stream int, b []byte) {
	if r == nil || r.spoiled != "" || len(b) == 0 {
		return
	}
	total := len(b)
	for _, o := range r.record.Output {
		total += len(o.Text)
	}
	if total > maxMemoOutput {
		r.spoil("its output is too long")
		return
	}
	if n := len(r.record.Output); n > 0 && r.record.Output[n-1].Stream == stream {
		r.record.Output[n-1].Text = append(r.record.Output[n-1].Text, b...)
		return
	}
	r.record.Output = append(r.record.Output, memoOutput{stream, slices.Clone(b)})
}

// within tells how much memory the program gets.
func (r *recording) within(b *memoryBudget) {
	if r != nil {
		r.budget = b
	}
}

// spoil says that the run cannot be remembered.
func (r *recording) spoil(why string) {
	if r != nil && r.spoiled == "" {
		r.spoiled = why
	}
}

// abs returns the path of a file of a mount.
func (m *mount) abs(rel string) string {
	if rel == "." {
		return m.path
	}
	return path.Join(m.path, rel)
}
