package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/protocol"
)

// A Tree is the tree of a feed. Its methods may be called from several goroutines.
type Tree struct {
	files fs.FS
	*Manifest
	names names // of packages that shards are about, as far as they are known
}

// OpenTree opens a tree: it reads the manifest. If it is missing or wrong, the error has the code Damaged.
func OpenTree(files fs.FS) (*Tree, error) {
	text, err := readFile(files, ManifestFile, maxManifest)
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "feed: %w", err)
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "feed: %w", err)
	}
	return &Tree{files, m, readNames(files)}, nil
}

// readFile reads a plain file of at most some bytes.
func readFile(files fs.FS, name string, most int64) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", name)
	}
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", name, most)
	}
	return text, err
}

// atOnce is how many shards are read at a time.
const atOnce = 4

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(atOnce), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
})

// unpack unpacks a shard.
func unpack(name string, packed []byte) ([]byte, error) {
	z, err := decoder()
	if err != nil {
		return nil, err
	}
	text, err := z.DecodeAll(packed, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return text, nil
}

// file returns the bytes of a file of the tree, which it compares with the manifest.
func (t *Tree) file(name string) ([]byte, error) {
	f, there := t.Files[name]
	if !there {
		return nil, fs.ErrNotExist
	}
	text, err := readFile(t.files, name, f.Size)
	if err == nil && fileOf(text) != f {
		err = errors.New("it is not the file of the manifest")
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "feed %s: %s: %w", t.Name, name, err).WithHint("get it again: nuka advisories update")
	}
	return text, nil
}

func (t *Tree) shard(name string) (packed, text []byte, err error) {
	if packed, err = t.file(name); err != nil {
		return nil, nil, err
	}
	if text, err = unpack(name, packed); err != nil {
		return nil, nil, protocol.Errorf(protocol.Damaged, "feed %s: %w", t.Name, err).WithHint("get it again: nuka advisories update")
	}
	return packed, text, nil
}

// A Key names a package of an ecosystem: its base, such as Debian, and the name in its one spelling.
type Key struct{ Ecosystem, Name string }

// Lookup returns the entries of packages, of all releases of their ecosystems.
func (t *Tree) Lookup(keys []Key) (map[Key][]osv.Entry, error) {
	wanted := map[string]map[string]Key{} // by shard, then by name
	for _, k := range keys {
		at := shardOf(k.Ecosystem, k.Name)
		if f, there := t.Files[at]; !there || t.names.lacks(f.Hash, k.Name) {
			continue
		}
		if wanted[at] == nil {
			wanted[at] = map[string]Key{}
		}
		wanted[at][k.Name] = k
	}
	out := map[Key][]osv.Entry{}
	var mu sync.Mutex
	var reading errgroup.Group
	reading.SetLimit(atOnce)
	for _, at := range slices.Sorted(maps.Keys(wanted)) {
		reading.Go(func() error {
			return t.lookup(at, wanted[at], func(k Key, list []osv.Entry) { // a package is in one shard
				mu.Lock()
				defer mu.Unlock()
				out[k] = list
			})
		})
	}
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// lookup gives the entries of packages, by their names, that are in a shard.
func (t *Tree) lookup(at string, wanted map[string]Key, found func(Key, []osv.Entry)) error {
	_, text, err := t.shard(at)
	if err != nil {
		return err
	}
	out := map[Key][]osv.Entry{}
	for one := range bytes.Lines(text) {
		name, body, _ := bytes.Cut(one, []byte("\t"))
		k, there := wanted[string(name)]
		if !there {
			continue
		}
		e, err := decodeEntry(body)
		if err != nil {
			return protocol.Errorf(protocol.Damaged, "feed %s: %s: %w", t.Name, at, err)
		}
		if osv.Base(e.Ecosystem) == k.Ecosystem && e.Name == k.Name {
			out[k] = append(out[k], e)
		}
	}
	for k, list := range out {
		found(k, list)
	}
	return nil
}

func decodeEntry(text []byte) (osv.Entry, error) {
	var e osv.Entry
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	if !e.Check() {
		return e, errors.New("an entry without a name or identifier")
	}
	return e, nil
}

// Find returns the entries of a record, which it names by its identifier or by an alias. It reads all shards.
func (t *Tree) Find(id string) ([]osv.Entry, error) {
	return t.scan(func(text []byte) bool { return bytes.Contains(text, []byte(`"`+id+`"`)) }, func(e *osv.Entry) bool { return slices.Contains(e.IDs(), id) })
}

// Since returns the entries that were modified on a day or later, as their records say.
func (t *Tree) Since(day string) ([]osv.Entry, error) {
	return t.scan(func([]byte) bool { return true }, func(e *osv.Entry) bool { return e.Modified >= day })
}

func (t *Tree) scan(may func(text []byte) bool, is func(*osv.Entry) bool) (out []osv.Entry, err error) {
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		if !strings.HasSuffix(name, ".zst") {
			continue
		}
		_, text, err := t.shard(name)
		if err != nil {
			return nil, err
		}
		if !may(text) {
			continue
		}
		for one := range bytes.Lines(text) {
			_, body, _ := bytes.Cut(one, []byte("\t"))
			if !may(body) {
				continue
			}
			e, err := decodeEntry(body)
			if err != nil {
				return nil, protocol.Errorf(protocol.Damaged, "feed %s: %s: %w", t.Name, name, err)
			}
			if is(&e) {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// Statements returns the statements of the feed.
func (t *Tree) Statements() ([]Statement, error) {
	text, err := t.file(StatementsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeStatements(text)
}
