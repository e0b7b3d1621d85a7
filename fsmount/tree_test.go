package fsmount

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A fakeStore has one tree of so many folders with so many files each.
type fakeStore struct {
	Store
	folders, files int
}

func (s *fakeStore) Entries(context.Context, cid.CID) iter.Seq2[cas.Entry, error] {
	return func(yield func(cas.Entry, error) bool) {
		if !yield(cas.Entry{Kind: cas.Dir, CID: cid.Sum(cid.DagPB, nil)}, nil) {
			return
		}
		for d := range s.folders {
			dir := fmt.Sprintf("folder%06d", d)
			if !yield(cas.Entry{Kind: cas.Dir, Path: dir, CID: cid.Sum(cid.DagPB, nil)}, nil) {
				return
			}
			for f := range s.files {
				if !yield(cas.Entry{Kind: cas.File, Path: dir + fmt.Sprintf("/file-number-%06d", f), Size: int64(f), CID: cid.Sum(cid.Raw, []byte(dir))}, nil) {
					return
				}
			}
		}
	}
}

// TestMemory loads a tree of a million entries and measures what it takes.
func TestMemory(t *testing.T) {
	s := &fakeStore{folders: 10_000, files: 99}
	var before, after runtime.MemStats
	for range 3 { // the buffers of other tests, which a pool gives up at the second collection
		runtime.GC()
	}
	runtime.ReadMemStats(&before)
	tree, err := loadTree(t.Context(), s, cid.CID{})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	n := len(tree.entries)
	got := int64(after.HeapAlloc - before.HeapAlloc)
	t.Logf("%d entries take %d MiB, %d bytes each; %d MiB by the cache's account", n, got>>20, got/int64(n), tree.bytes()>>20)
	if n != 1_000_001 || got > 150<<20 {
		t.Errorf("%d entries take %d bytes", n, got)
	}
	if d := got - tree.bytes(); d < -8<<20 || d > 8<<20 {
		t.Errorf("the cache counts %d bytes of %d", tree.bytes(), got)
	}
	dir := tree.find(0, "folder000777")
	file := tree.find(dir, "file-number-000042")
	if dir == 0 || file == 0 || tree.entries[file].size != 42 || tree.entries[file].parent != dir || len(tree.children(dir)) != 99 {
		t.Errorf("a look-up finds %d, %d", dir, file)
	}
	if tree.find(dir, "file-number-000099") != 0 || tree.find(file, "x") != 0 {
		t.Error("a look-up finds what does not exist")
	}
	runtime.KeepAlive(tree)
}

// TestBudget loads more trees than the cache may keep.
func TestBudget(t *testing.T) {
	c := newTreeCache(&fakeStore{folders: 100, files: 9}, 200_000)
	for i := range 20 {
		if _, err := c.get(t.Context(), cid.Sum(cid.DagPB, []byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	if c.bytes > 200_000 || len(c.trees) != c.recent.Len() || len(c.trees) == 0 || len(c.trees) > 4 {
		t.Errorf("the cache has %d trees and %d bytes", len(c.trees), c.bytes)
	}
	if c.cached(cid.Sum(cid.DagPB, []byte{19})) == nil || c.cached(cid.Sum(cid.DagPB, []byte{0})) != nil {
		t.Error("the cache keeps old trees, and drops new ones")
	}
}

// TestSlots gives numbers that stay, also after a torn or foreign record.
func TestSlots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slots")
	open := func() *slots {
		t.Helper()
		s, err := openSlots(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.file.Close() })
		return s
	}
	v := func(p, c byte) newSlot {
		return newSlot{slot{pir.PID{p}, cid.Sum(cid.DagPB, []byte{c})}, cas.Dir}
	}
	s := open()
	first, err := s.numbers(v(1, 1), v(2, 1), v(1, 1), v(1, 2))
	if err != nil || fmt.Sprint(first) != "[1 2 1 3]" {
		t.Fatalf("got %v, %v", first, err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	third := len(whole) / 3
	for name, b := range map[string][]byte{
		"whole": whole, "torn": whole[:len(whole)-1], "rubbish": append(whole[:len(whole):len(whole)], strings.Repeat("x", 300)...),
		"twice":   append(whole[:len(whole):len(whole)], whole[:third]...), // a record whose number is taken
		"flipped": append(append(whole[:2*third:2*third], whole[2*third]^1), whole[2*third+1:]...),
	} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open()
		got, err := s.numbers(v(1, 2), v(2, 1), v(1, 1))
		if err != nil || fmt.Sprint(got) != "[3 2 1]" {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
		next, err := open().numbers(v(3, 3))
		if err != nil || next[0] != 4 {
			t.Errorf("%s: the next number is %v, %v", name, next, err)
		}
	}
}
