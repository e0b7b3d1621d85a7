package wasmrt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/zeebo/blake3"
)

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
