package feed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/zeebo/blake3"
)

const (
	// namesFile is a file beside a tree in use that says which packages each shard is about. It is made from the shards when they come, is no part of what heads sign, and can go: a look-up
	// then reads more shards. Most packages have no advisory, and without it each of them would cost the reading of a shard.
	namesFile = "names.idx"
	namesMark = "nuka names 1\n"
	maxNames  = 64 << 20 // bytes
	maxNamed  = 2 << 30  // bytes of the unpacked shards of a tree whose names are looked up: a publisher may sign shards that unpack to terabytes
	nameSize  = 8        // bytes of a name's hash
	hashSize  = 32
)

// names are the hashes of the names of packages, sorted, by the hash of the shard that is about them.
//
// The file has the mark, then for each shard its hash, the number of names (4 bytes, little endian) and the hashes; at the end the BLAKE3 of all of it.
type names map[[hashSize]byte][]byte

// nameHash returns the hash of a package's name. Its first byte would be the same for all names of a shard, and is left out.
func nameHash(name string) [nameSize]byte {
	sum := blake3.Sum256([]byte(name))
	return [nameSize]byte(sum[1:])
}

// lacks reports that the shard with a hash, in hex, is known and not about a package.
func (n names) lacks(shard, name string) bool {
	list, known := n[rawHash(shard)]
	if !known {
		return false
	}
	want := nameHash(name)
	at := sort.Search(len(list)/nameSize, func(i int) bool { return bytes.Compare(list[i*nameSize:(i+1)*nameSize], want[:]) >= 0 })
	return at*nameSize == len(list) || [nameSize]byte(list[at*nameSize:]) != want
}

func rawHash(text string) (out [hashSize]byte) {
	if len(text) == hex.EncodedLen(hashSize) {
		_, _ = hex.Decode(out[:], []byte(text)) // what is no hash is the hash of no shard
	}
	return out
}

func (n names) encode() []byte {
	out := []byte(namesMark)
	for _, hash := range slices.SortedFunc(maps.Keys(n), func(a, b [hashSize]byte) int { return bytes.Compare(a[:], b[:]) }) {
		out = append(out, hash[:]...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(n[hash])/nameSize))
		out = append(out, n[hash]...)
	}
	sum := blake3.Sum256(out)
	return append(out, sum[:]...)
}

// decodeNames reads what encode wrote. What is damaged has no names: nothing is left out of a look-up for it.
func decodeNames(text []byte) names {
	at := len(text) - hashSize
	if at < len(namesMark) || blake3.Sum256(text[:at]) != [hashSize]byte(text[at:]) || !bytes.HasPrefix(text, []byte(namesMark)) {
		return nil
	}
	out, text := names{}, text[len(namesMark):at]
	for len(text) > 0 {
		if len(text) < hashSize+4 {
			return nil
		}
		hash := [hashSize]byte(text)
		size := int64(binary.LittleEndian.Uint32(text[hashSize:])) * nameSize
		text = text[hashSize+4:]
		if size > int64(len(text)) {
			return nil
		}
		out[hash], text = text[:size:size], text[size:]
	}
	return out
}

// readNames returns the names of a tree's shards; none if there is no file of them.
func readNames(files fs.FS) names {
	text, err := readFile(files, namesFile, maxNames)
	if err != nil {
		return nil
	}
	return decodeNames(text)
}

// writeNames writes the names of a tree's shards to its folder. Those of shards that old has, which may be nil, are taken from there. A shard that cannot be unpacked is left
// out: the look-up that needs it says so.
func (t *Tree) writeNames(ctx context.Context, dir string, old *Tree) error {
	out, left := names{}, int64(maxNamed)
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		f := t.Files[name]
		if !strings.HasSuffix(name, ".zst") {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		hash := rawHash(f.Hash)
		if old != nil && old.names[hash] != nil {
			out[hash] = old.names[hash]
			continue
		}
		if left <= 0 {
			continue
		}
		_, text, err := t.shard(name)
		if err != nil {
			continue
		}
		left -= int64(len(text))
		out[hash] = namesIn(text)
	}
	text := out.encode()
	if len(text) > maxNames {
		return nil // a look-up works without
	}
	f, err := os.OpenFile(filepath.Join(dir, namesFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// namesIn returns the sorted hashes of the names of the packages that the text of a shard is about.
func namesIn(text []byte) []byte {
	var list [][nameSize]byte
	var last []byte
	for one := range bytes.Lines(text) {
		name, _, _ := bytes.Cut(one, []byte("\t"))
		if last == nil || !bytes.Equal(name, last) {
			list, last = append(list, nameHash(string(name))), name
		}
	}
	slices.SortFunc(list, func(a, b [nameSize]byte) int { return bytes.Compare(a[:], b[:]) })
	list = slices.Compact(list)
	out := make([]byte, 0, len(list)*nameSize)
	for _, h := range list {
		out = append(out, h[:]...)
	}
	return out
}
