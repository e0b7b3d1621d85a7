package archive

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // git's object ids
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// A packWriter writes git packfiles, including ones that git would not write.
type packWriter struct {
	bytes.Buffer
	count int
}

func gitID(kind byte, content string) string {
	sum := sha1.Sum(fmt.Appendf(nil, "%s %d\x00%s", objNames[kind], len(content), content)) //nolint:gosec // git's object ids
	return string(sum[:])
}

func packHeader(kind byte, size int) []byte {
	b := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(size&0x7f))
	}
	return b
}

// add appends an object, or a delta whose header is followed by base, and returns the offset at which it begins.
func (p *packWriter) add(kind byte, size int, base string, stored string) int {
	at := p.Len() + 12
	p.count++
	p.Write(packHeader(kind, size))
	p.WriteString(base)
	z := zlib.NewWriter(&p.Buffer)
	z.Write([]byte(stored)) //nolint:errcheck // into memory
	z.Close()               //nolint:errcheck // into memory
	return at
}

func (p *packWriter) object(kind byte, content string) (id string) {
	p.add(kind, len(content), "", content)
	return gitID(kind, content)
}

func (p *packWriter) refDelta(base, delta string) { p.add(objRefDelta, len(delta), base, delta) }

// commit adds a commit of a tree, and returns its id in hexadecimal.
func (p *packWriter) commit(tree string) string {
	return hex.EncodeToString([]byte(p.object(objCommit, fmt.Sprintf("tree %x\nauthor n <e> 1 +0000\n\nm\n", tree))))
}

func (p *packWriter) bytes() []byte { return finishPack(p.count, p.Buffer.Bytes()) }

func finishPack(count int, objects []byte) []byte {
	b := append([]byte("PACK\x00\x00\x00\x02"), 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[8:], uint32(count)) //nolint:gosec // tests
	b = append(b, objects...)
	sum := sha1.Sum(b) //nolint:gosec // git's checksum
	return append(b, sum[:]...)
}

func varint(n int) string {
	b := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		b[len(b)-1] |= 0x80
		b = append(b, byte(n&0x7f))
	}
	return string(b)
}

func unpackPack(t *testing.T, pack []byte, commit string, limits Limits) (string, error) {
	t.Helper()
	out := t.TempDir()
	root, err := os.OpenRoot(out)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	_, err = Unpack(t.Context(), bytes.NewReader(pack), int64(len(pack)), Folder{root}, &Options{Commit: commit, Limits: limits})
	var coded *protocol.Error
	if err != nil && (!errors.As(err, &coded) || coded.Code == protocol.Failed) {
		t.Errorf("an error without a code, or a panic: %v", err)
	}
	return out, err
}

// TestPackDeltas makes a file from a chain of deltas by id and by offset, whose bases come before and after them.
func TestPackDeltas(t *testing.T) {
	base := strings.Repeat("0123456789", 10)
	var p packWriter
	one := base[:20] + "new"
	two := one + one
	// By id, with the base after the delta.
	p.refDelta(gitID(objBlob, base), varint(len(base))+varint(len(one))+"\x90\x14"+"\x03new")
	at := p.Len() + 12
	p.add(objOfsDelta, len(varint(len(one))+varint(len(two))+"\x90\x17\x90\x17"), string([]byte{byte(at - 12)}),
		varint(len(one))+varint(len(two))+"\x90\x17\x90\x17")
	p.object(objBlob, base)
	tree := "100644 one\x00" + gitID(objBlob, one) + "100755 two\x00" + gitID(objBlob, two)
	commit := p.commit(p.object(objTree, tree))
	out, err := unpackPack(t, p.bytes(), commit, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": one, "two": two} {
		if got, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestHostilePacks has packs that exceed each limit or contradict themselves. Each must end soon, with an error.
func TestHostilePacks(t *testing.T) {
	blob := func(p *packWriter) string { return p.object(objBlob, "x") }
	limits := Limits{Unpacked: 1 << 20, Files: 1000}
	for name, c := range map[string]struct {
		make func(p *packWriter) string
		want protocol.Code
	}{
		"a bomb of trees": {func(p *packWriter) string {
			id := p.object(objTree, "") // only folders, so no file is ever counted
			for range 30 {
				var tree strings.Builder
				for i := range 10 {
					fmt.Fprintf(&tree, "40000 %d\x00%s", i, id)
				}
				id = p.object(objTree, tree.String())
			}
			return p.commit(id)
		}, protocol.Exhausted},
		"a bomb of one file": {func(p *packWriter) string {
			id, tree := p.object(objBlob, strings.Repeat("x", 1<<16)), ""
			for i := range 100 {
				tree += fmt.Sprintf("100644 %d\x00%s", i, id)
			}
			return p.commit(p.object(objTree, tree))
		}, protocol.Exhausted},
		"folders in folders": {func(p *packWriter) string {
			id := p.object(objTree, "100644 a\x00"+blob(p))
			for range 300 {
				id = p.object(objTree, "40000 d\x00"+id)
			}
			return p.commit(id)
		}, protocol.Invalid},
		"a chain of deltas": {func(p *packWriter) string {
			base := "0123456789"
			p.object(objBlob, base)
			for i := range 5000 {
				next := fmt.Sprintf("%010d", i)
				p.refDelta(gitID(objBlob, base), varint(10)+varint(10)+"\x0a"+next)
				base = next
			}
			return p.commit(p.object(objTree, "100644 a\x00"+gitID(objBlob, base)))
		}, protocol.Exhausted},
		"deltas that grow": {func(p *packWriter) string {
			base := strings.Repeat("x", 1<<10)
			p.object(objBlob, base)
			for range 13 {
				n := len(base)
				op := "\xf0" + string([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
				p.refDelta(gitID(objBlob, base), varint(n)+varint(2*n)+op+op)
				base += base
			}
			return p.commit(p.object(objTree, "100644 a\x00"+gitID(objBlob, base)))
		}, protocol.Exhausted},
		"a delta that promises much": {func(p *packWriter) string {
			p.refDelta(blob(p), varint(1)+varint(1<<40))
			return p.commit(p.object(objTree, ""))
		}, protocol.Exhausted},
		"a circle of deltas": {func(p *packWriter) string {
			p.refDelta(strings.Repeat("\x01", 20), varint(1)+varint(1)+"\x01x")
			return p.commit(p.object(objTree, ""))
		}, protocol.Invalid},
		"a copy beyond the base": {func(p *packWriter) string {
			p.refDelta(blob(p), varint(1)+varint(9)+"\x90\x09")
			return p.commit(p.object(objTree, ""))
		}, protocol.Invalid},
		"a reserved instruction": {func(p *packWriter) string {
			p.refDelta(blob(p), varint(1)+varint(1)+"\x00")
			return p.commit(p.object(objTree, ""))
		}, protocol.Invalid},
		"a size that lies": {func(p *packWriter) string {
			p.add(objBlob, 5, "", "123456789")
			return p.commit(p.object(objTree, ""))
		}, protocol.Invalid},
		"a huge object": {func(p *packWriter) string {
			p.add(objBlob, 1<<40, "", "x")
			return p.commit(p.object(objTree, ""))
		}, protocol.Exhausted},
		"an unknown kind": {func(p *packWriter) string {
			p.add(5, 1, "", "x")
			return p.commit(p.object(objTree, ""))
		}, protocol.Invalid},
		"the commit is another": {func(p *packWriter) string {
			p.commit(p.object(objTree, ""))
			return strings.Repeat("1", 40)
		}, protocol.Invalid},
		"a file that is another": {func(p *packWriter) string {
			blob(p)
			return p.commit(p.object(objTree, "100644 a\x00"+gitID(objBlob, "y")))
		}, protocol.Invalid},
		"a blob for a commit": {func(p *packWriter) string {
			return hex.EncodeToString([]byte(blob(p)))
		}, protocol.NotFound},
		"a count that lies": {func(p *packWriter) string {
			commit := p.commit(p.object(objTree, "100644 a\x00"+blob(p)))
			p.object(objBlob, "one more")
			p.count--
			return commit
		}, protocol.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			var p packWriter
			commit := c.make(&p)
			begin := time.Now()
			limits := limits
			limits.Files = max(limits.Files, 2*p.count)
			_, err := unpackPack(t, p.bytes(), commit, limits)
			if protocol.CodeOf(err) != c.want {
				t.Errorf("got %v after %v, want %s", err, time.Since(begin), c.want)
			}
		})
	}
	var p packWriter
	commit := p.commit(p.object(objTree, "100644 a\x00"+blob(&p)))
	whole := p.bytes()
	for n := range whole {
		if _, err := unpackPack(t, whole[:n], commit, limits); err == nil {
			t.Errorf("unpacked of %d bytes of %d", n, len(whole))
		}
	}
	whole[len(whole)-1] ^= 1
	if _, err := unpackPack(t, whole, commit, limits); err == nil {
		t.Error("a wrong checksum is taken")
	}
}

// TestPackModules checks that submodules are recorded and that their number is bounded.
func TestPackModules(t *testing.T) {
	for _, c := range []struct {
		n    int
		want protocol.Code
	}{{2, ""}, {maxModules, ""}, {maxModules + 1, protocol.Exhausted}} {
		var p packWriter
		var tree strings.Builder
		for i := range c.n {
			fmt.Fprintf(&tree, "160000 %04d\x00%s", i, strings.Repeat("\x01", 20))
		}
		inner := p.object(objTree, tree.String())
		commit := p.commit(p.object(objTree, "40000 d\x00"+inner))
		out := t.TempDir()
		root, err := os.OpenRoot(out)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		pack := p.bytes()
		u, err := Unpack(t.Context(), bytes.NewReader(pack), int64(len(pack)), Folder{root}, &Options{Commit: commit})
		if protocol.CodeOf(err) != c.want && (err != nil || c.want != "") {
			t.Errorf("%d submodules: got %v, want %q", c.n, err, c.want)
		}
		if err != nil {
			continue
		}
		if len(u.Submodules) != c.n || u.Submodules[1] != (Submodule{"d/0001", strings.Repeat("01", 20)}) || u.Entries != c.n+1 {
			t.Errorf("%d submodules: got %d entries, %.200v", c.n, u.Entries, u.Submodules)
		}
		if list, err := os.ReadDir(filepath.Join(out, "d/0001")); err != nil || len(list) != 0 {
			t.Errorf("in the place of a submodule: %v, %v", list, err)
		}
		left, err := Limits{Files: c.n + 2}.Without(u)
		if _, none := (Limits{Files: c.n + 1}).Without(u); err != nil || left.Files != 1 || protocol.CodeOf(none) != protocol.Exhausted {
			t.Errorf("%d submodules leave %+v, %v, %v", c.n, left, err, none)
		}
	}
}

// FuzzGitPack varies the objects of a pack, between the header and the checksum.
func FuzzGitPack(f *testing.F) {
	var p packWriter
	base := "0123456789"
	p.refDelta(gitID(objBlob, base), varint(10)+varint(11)+"\x90\x0a\x01x")
	p.object(objBlob, base)
	commit := p.commit(p.object(objTree, "100644 a\x00"+gitID(objBlob, base+"x")))
	f.Add(p.Buffer.Bytes(), byte(p.count))
	f.Fuzz(func(t *testing.T, objects []byte, count byte) {
		unpackPack(t, finishPack(int(count), objects), commit, Limits{Unpacked: 1 << 20, Files: 100})
	})
}

// FuzzGitTree varies a tree and a delta in an otherwise valid pack.
func FuzzGitTree(f *testing.F) {
	base := "0123456789"
	f.Add([]byte("100644 a\x00"+gitID(objBlob, base)), []byte(varint(10)+varint(11)+"\x90\x0a\x01x"))
	f.Add([]byte("40000 .git\x00"+gitID(objTree, "")+"120000 l\x00"+gitID(objBlob, base)), []byte{})
	f.Fuzz(func(t *testing.T, tree, delta []byte) {
		var p packWriter
		p.object(objBlob, base)
		p.object(objTree, "")
		if len(delta) > 0 {
			p.refDelta(gitID(objBlob, base), string(delta))
		}
		commit := p.commit(p.object(objTree, string(tree)))
		out, err := unpackPack(t, p.bytes(), commit, Limits{Unpacked: 1 << 20, Files: 100})
		if err != nil {
			return
		}
		list, err := os.ReadDir(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if why := badGitName(e.Name()); why != "" {
				t.Errorf("unpacked %q: %s", e.Name(), why)
			}
		}
	})
}
