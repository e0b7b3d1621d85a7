package wasmrt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"path"
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
const memoVersion = "nuka memo 1"

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

// ignoredVariables are variables that make sets for the makes below it, and those that tell configure and make how to call a compiler. They change
// without changing what a program does that is no make and no shell.
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
	key.put(slices.DeleteFunc(slices.Clone(p.env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(ignoredVariables, name)
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

// recall looks for the record of a run and does what it says. If there is none, or it is of files that are different now, the program has to run, and the recording
// begins. If what the record says cannot be done, that ends the program.
func (r *recording) recall() (exit int, ok bool) {
	if r == nil {
		return 0, false
	}
	var record memoRecord
	if b := r.h.Memo.Recall(r.key); b != nil && json.Unmarshal(b, &record) == nil && r.holds(record.Seen) {
		r.h.memo.hits.Add(1)
		if at, e := r.redo(&record); e != eOK {
			r.p.fatal = fmt.Errorf("write the result of an earlier run: %s: %w", at, e)
		}
		return record.Exit, true
	}
	r.h.memo.runs.Add(1)
	r.p.fs = r.watch(r.fs)
	r.began = time.Now()
	return 0, false
}

// holds reports whether all that a program saw is so now.
func (r *recording) holds(seen []memoSeen) bool {
	for i := range seen {
		s := &seen[i]
		m, rel := r.fs.cover(s.Path)
		if m == nil {
			return false
		}
		i, e := m.b.lstat(rel)
		now, ok := r.seenAs(s.Path, i, e)
		if !ok || now.Kind != s.Kind || now.Exec != s.Exec || now.Young != s.Young || now.Size != s.Size {
			return false
		}
		if s.Kind == kindSymlink {
			if now.Target, e = m.b.readlink(rel); e != eOK || now.Target != s.Target {
				return false
			}
		}
		if s.Content != nil {
			if sum, e := contentOf(m.b, rel); e != eOK || !bytes.Equal(sum, s.Content) {
				return false
			}
		}
		if s.List != nil {
			list, e := m.b.readdir(rel)
			if e != eOK || !bytes.Equal(listSum(list, s.Except), s.List) {
				return false
			}
		}
	}
	return true
}

// listSum returns the hash of a folder's list without some names.
func listSum(list []dirent, except []string) []byte {
	h := memoKey{blake3.New()}
	for _, d := range list {
		if _, ok := slices.BinarySearch(except, d.name); !ok {
			h.put(d.name, string([]byte{byte(d.kind)}))
		}
	}
	return h.Sum(nil)
}

// redo writes the files and the output of a record, and returns where it fails.
func (r *recording) redo(record *memoRecord) (at string, e errno) {
	for _, f := range slices.Backward(record.Files) { // what is in a folder goes before it
		if f.Kind == 0 {
			if e := r.redoFile(&f); e != eOK {
				return f.Path, e
			}
		}
	}
	for i := range record.Files {
		if f := &record.Files[i]; f.Kind != 0 {
			if e := r.redoFile(f); e != eOK {
				return f.Path, e
			}
		}
	}
	for _, o := range record.Output {
		if o.Stream != 1 && o.Stream != 2 || r.pass(o.Stream, o.Text) != eOK {
			break
		}
	}
	return "", eOK
}

func (r *recording) redoFile(f *memoFile) errno {
	m, rel := r.fs.cover(f.Path)
	if m == nil || r.fs.under(f.Path) {
		return eRofs
	}
	i, e := m.b.lstat(rel)
	switch {
	case e == eOK && i.kind == kindDir && f.Kind == kindDir:
		return eOK
	case e == eOK && i.kind == kindDir:
		e = m.b.rmdir(rel)
	case e == eOK:
		e = m.b.unlink(rel)
	case e == eNoent:
		e = eOK
	}
	if e != eOK {
		return e
	}
	switch f.Kind {
	case 0:
		return eOK
	case kindDir:
		return m.b.mkdir(rel)
	case kindSymlink:
		return m.b.symlink(f.Target, rel)
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
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.budget != nil && r.budget.denied.Load() {
		return // it may have given up for lack of memory
	}
	for _, at := range slices.Sorted(maps.Keys(r.touched)) {
		r.result(at)
	}
	var unchanged []memoSeen
	for _, at := range slices.Sorted(maps.Keys(r.seen)) {
		s := r.seen[at]
		if s.names != nil && !r.listed(s) {
			return
		}
		r.record.Seen = append(r.record.Seen, *s)
		if !r.touched[at] {
			unchanged = append(unchanged, *s)
		}
	}
	if r.spoiled.Load() != nil || !r.holds(unchanged) { // another program has changed what this one saw
		return
	}
	r.record.Exit = exit
	b, err := json.Marshal(&r.record)
	if err == nil {
		r.h.Memo.Remember(r.key, b)
	}
}

// listed completes what was seen of a folder's list: without the names that the program changed. It returns false if others were changed.
func (r *recording) listed(s *memoSeen) bool {
	for at := range r.touched {
		if path.Dir(at) == s.Path {
			s.Except = append(s.Except, path.Base(at))
		}
	}
	slices.Sort(s.Except)
	s.List = listSum(s.names, s.Except)
	m, rel := r.fs.cover(s.Path)
	now, e := m.b.readdir(rel)
	return r.touched[s.Path] || e == eOK && bytes.Equal(s.List, listSum(now, s.Except))
}

// result notes what a program made of a path that it changed.
func (r *recording) result(at string) {
	m, rel := r.fs.cover(at)
	i, e := m.b.lstat(rel)
	f := memoFile{Path: at, Kind: i.kind, Exec: i.exec}
	switch {
	case e == eNoent || e == eNotdir:
		if s := r.seen[at]; s != nil && s.Kind == 0 {
			return // it came and went
		}
		f.Kind = 0
	case e != eOK || i.kind != kindDir && i.nlink > 1:
		r.spoil("it left something else than plain files")
		return
	case i.kind == kindSymlink:
		if f.Target, e = m.b.readlink(rel); e != eOK {
			r.spoil("its link cannot be read")
		}
	case i.kind == kindFile:
		if r.grow(i.size) {
			return
		}
		in, e := m.b.open(rel, openRead)
		if e != eOK {
			r.spoil("its file could not be read")
			return
		}
		defer in.close()
		if b, err := readAll(in, i.size); err == nil && int64(len(b)) == i.size {
			f.Content = b
		} else {
			r.spoil("its file could not be read")
		}
	}
	r.record.Files = append(r.record.Files, f)
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
	if r == nil || len(b) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spoiled.Load() != nil {
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
	if r != nil {
		r.spoiled.CompareAndSwap(nil, &why)
	}
}

// abs returns the path of a file of a mount.
func (m *mount) abs(rel string) string {
	if rel == "." {
		return m.path
	}
	return path.Join(m.path, rel)
}
