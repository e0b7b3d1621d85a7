package statcache

import (
	"bytes"
	"encoding/binary"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir/cid"
)

const (
	// raceWindow is how old a change must be for the next one to show in mtime or ctime. The coarsest clock of a file system in
	// use, that of FAT, ticks every two seconds.
	raceWindow = 2 * time.Second
	// maxRecord bounds a record in bytes; 200,000 files take about 25 MB.
	maxRecord = 256 << 20
	// magic is the start of a record. It changes with the format.
	magic = "nuka stat cache 1\n"
)

// record holds the known state of a tree.
type record struct {
	root cid.CID
	dirs map[string]*dirRecord // by path, "." for the root
}

// dirRecord is a folder and its entries, sorted by name.
type dirRecord struct {
	name    string
	stat    stat
	entries []entryRecord
}

type kind uint8

const (
	kindFile kind = iota
	kindDir
	kindLink
)

// entryRecord is a name in a folder. The stat of a folder is in its own dirRecord.
type entryRecord struct {
	name  string
	kind  kind
	stat  stat
	cid   cid.CID // of a file
	tsize int64   // of a file; see cid.Tsize
}

// stat is the result of stat for a file. Times are in nanoseconds since 1970.
type stat struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64
	mode         uint32
	never        bool // it equals nothing, not even itself
}

// same reports whether a file that had the stat s, and has the stat t now, is unchanged.
func (s *stat) same(t *stat) bool { return !s.never && *s == *t }

// racy reports whether the file could change after now without a change of its stat.
func (s *stat) racy(now time.Time) bool {
	return now.Add(-raceWindow).UnixNano() <= max(s.mtime, s.ctime)
}

const (
	statSize  = 5*8 + 4 + 1
	entrySize = 1 + statSize + cid.Size + 8 // and the name
)

// encode writes a record: the magic, the root, and the folders sorted by path; then the BLAKE3 hash of all that. Numbers are little-endian.
func (r *record) encode() []byte {
	size := len(magic) + cid.Size + 4 + 32
	for name, d := range r.dirs {
		size += 4 + len(name) + statSize + 4
		for i := range d.entries {
			size += 4 + len(d.entries[i].name) + entrySize
		}
	}
	b := append(make([]byte, 0, size), magic...)
	b = append(b, r.root.Bytes()...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(r.dirs)))
	for _, name := range slices.Sorted(maps.Keys(r.dirs)) {
		d := r.dirs[name]
		b = appendString(b, name)
		b = d.stat.append(b)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(d.entries)))
		for i := range d.entries {
			e := &d.entries[i]
			b = appendString(b, e.name)
			b = append(b, byte(e.kind))
			if e.kind == kindDir {
				continue
			}
			b = e.stat.append(b)
			if e.kind == kindFile {
				b = append(b, e.cid.Bytes()...)
				b = binary.LittleEndian.AppendUint64(b, uint64(e.tsize))
			}
		}
	}
	return sealed(b)
}

// sealed returns b followed by its hash.
func sealed(b []byte) []byte {
	sum := blake3.Sum256(b)
	return append(b, sum[:]...)
}

func appendString(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func (s *stat) append(b []byte) []byte {
	for _, v := range []uint64{s.dev, s.ino, uint64(s.size), uint64(s.mtime), uint64(s.ctime)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint32(b, s.mode)
	if s.never {
		return append(b, 1)
	}
	return append(b, 0)
}

// readRecord reads a file of the cache. It returns nil if the file is missing or damaged.
func readRecord(name string) *record {
	info, err := os.Stat(name)
	if err != nil || info.Size() > maxRecord {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	return decodeRecord(b)
}

// decodeRecord decodes a record. It returns nil if b is not one.
func decodeRecord(b []byte) *record {
	if len(b) < 32 {
		return nil
	}
	body, sum := b[:len(b)-32], blake3.Sum256(b[:len(b)-32])
	if !bytes.Equal(sum[:], b[len(b)-32:]) || !bytes.HasPrefix(body, []byte(magic)) {
		return nil
	}
	d := &decoder{b: body[len(magic):], text: string(body[len(magic):])}
	r := &record{root: d.cid(), dirs: map[string]*dirRecord{}}
	for range d.count(4 + statSize + 4) {
		dir := &dirRecord{name: d.string(), stat: d.stat()}
		dir.entries = make([]entryRecord, d.count(4+1))
		for i := range dir.entries {
			e := &dir.entries[i]
			e.name, e.kind = d.string(), kind(d.uint8())
			switch e.kind {
			case kindDir:
			case kindLink:
				e.stat = d.stat()
			case kindFile:
				e.stat, e.cid, e.tsize = d.stat(), d.cid(), int64(d.uint64())
			default:
				return nil
			}
		}
		r.dirs[dir.name] = dir
	}
	if d.bad || len(d.b) > 0 {
		return nil
	}
	return r
}

// decoder reads a record from its beginning. After an error bad is set and every read returns zero.
type decoder struct {
	b    []byte
	text string // the same bytes as a string, so that names need no memory of their own
	bad  bool
}

// take returns the next n bytes.
func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return make([]byte, min(n, statSize))
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) uint8() byte    { return d.take(1)[0] }
func (d *decoder) uint32() uint32 { return binary.LittleEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.LittleEndian.Uint64(d.take(8)) }

// count reads the number of items that follow, each at least size bytes long.
func (d *decoder) count(size int) int {
	n := int(d.uint32())
	if n > len(d.b)/size {
		d.bad, d.b = true, nil
		return 0
	}
	return n
}

func (d *decoder) string() string {
	n := int(d.uint32())
	at := len(d.text) - len(d.b)
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return ""
	}
	d.b = d.b[n:]
	return d.text[at : at+n]
}

func (d *decoder) stat() stat {
	return stat{
		dev: d.uint64(), ino: d.uint64(), size: int64(d.uint64()), mtime: int64(d.uint64()), ctime: int64(d.uint64()),
		mode: d.uint32(), never: d.uint8() != 0,
	}
}

func (d *decoder) cid() cid.CID {
	c, err := cid.FromBytes(d.take(cid.Size))
	if err != nil {
		d.bad, d.b = true, nil
	}
	return c
}
