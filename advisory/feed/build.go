package feed

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/internal/atomicfile"
)

// A Builder collects records for the tree of a feed. The zero Builder has none.
type Builder struct {
	shards     map[string][]line
	records    map[string]map[string]bool // ids, by ecosystem
	broken     []Broken
	statements []Statement
	seen       map[string]bool
}

// A line is an entry in a shard: the name of its package, a tab, JSON.
type line struct {
	name, ecosystem, id string
	text                []byte
}

// Add adds a record. Of two records with one identifier, the second is broken.
func (b *Builder) Add(r *osv.Record) error {
	if b.shards == nil {
		b.shards, b.records, b.seen = map[string][]line{}, map[string]map[string]bool{}, map[string]bool{}
	}
	if b.seen[r.ID] {
		b.Break(r.ID, "there are two records of this identifier, of which the first counts")
		return nil
	}
	b.seen[r.ID] = true
	for _, e := range r.Entries() {
		if e.Ecosystem == "GIT" {
			continue
		}
		text, err := json.Marshal(&e)
		if err != nil {
			return fmt.Errorf("%s: %w", r.ID, err)
		}
		at := shardOf(e.Ecosystem, e.Name)
		b.shards[at] = append(b.shards[at], line{e.Name, e.Ecosystem, e.ID, text})
		if e.Notice != "" { // a feed of notices covers no vulnerabilities
			continue
		}
		if b.records[e.Ecosystem] == nil {
			b.records[e.Ecosystem] = map[string]bool{}
		}
		b.records[e.Ecosystem][e.ID] = true
	}
	if len(r.Faults) > 0 {
		b.Break(r.ID, r.Faults[0])
	}
	return nil
}

// Break adds a record that could not be read, or not wholly.
func (b *Builder) Break(id, why string) {
	b.broken = append(b.broken, Broken{printable(id, 128), printable(why, 300)})
}

// printable returns a text for the manifest, which people see.
func printable(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
}

// State adds statements.
func (b *Builder) State(list ...Statement) { b.statements = append(b.statements, list...) }

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
})

// Write writes the tree of a feed to the folder dir, which must exist: what is there of an earlier tree is replaced, and the heads file is left. m has the name, the time and
// the sources. Shards that old, which may be nil, has with the same records keep their bytes, and with them their hashes.
func (b *Builder) Write(dir string, m *Manifest, old *Tree) error {
	m.Records, m.Files, m.Broken = map[string]int{}, map[string]File{}, nil
	for ecosystem, ids := range b.records {
		m.Records[ecosystem] = len(ids)
	}
	slices.SortFunc(b.broken, func(x, y Broken) int { return cmp.Or(strings.Compare(x.ID, y.ID), strings.Compare(x.Why, y.Why)) })
	if b.broken = slices.Compact(b.broken); len(b.broken) > maxBroken {
		b.broken = append(b.broken[:maxBroken:maxBroken], Broken{"more", fmt.Sprintf("%d in all", len(b.broken))})
	}
	m.Broken = b.broken
	files := map[string][]byte{}
	for name, lines := range b.shards {
		packed, err := packShard(name, lines, old)
		if err != nil {
			return err
		}
		files[name] = packed
	}
	if len(b.statements) > 0 {
		text, err := encodeStatements(b.statements)
		if err != nil {
			return err
		}
		files[StatementsFile] = text
	}
	for name, text := range files {
		m.Files[name] = fileOf(text)
	}
	manifest, err := m.encode()
	if err != nil {
		return err
	}
	if _, err := decodeManifest(manifest); err != nil { // what nobody would accept is not published
		return err
	}
	if err := clearOld(dir, m); err != nil {
		return err
	}
	files[ManifestFile] = manifest
	return writeFiles(dir, files, false)
}

// writeFiles writes files below a folder, for others to read. Files that are not durable are compared with their hashes when they are read, as all are: a power cut makes
// them damaged, and not empty.
func writeFiles(dir string, files map[string][]byte, durable bool) error {
	folders := map[string]bool{dir: true}
	var jobs errgroup.Group
	jobs.SetLimit(16)
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if parent := filepath.Dir(at); !folders[parent] {
			folders[parent] = true
			if err := os.MkdirAll(parent, 0o755); err != nil {
				return errors.Join(err, jobs.Wait())
			}
		}
		jobs.Go(func() error {
			f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write(text)
			if err == nil && durable {
				err = f.Sync()
			}
			return errors.Join(err, f.Close())
		})
	}
	if err := jobs.Wait(); err != nil {
		return err
	}
	for parent := range folders {
		if !durable {
			break
		}
		if err := atomicfile.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// packShard returns the bytes of a shard: those of old if the records are the same.
func packShard(name string, lines []line, old *Tree) ([]byte, error) {
	slices.SortFunc(lines, func(x, y line) int {
		return cmp.Or(strings.Compare(x.name, y.name), strings.Compare(x.ecosystem, y.ecosystem), strings.Compare(x.id, y.id), bytes.Compare(x.text, y.text))
	})
	var plain bytes.Buffer
	for _, l := range lines {
		plain.WriteString(l.name)
		plain.WriteByte('\t')
		plain.Write(l.text)
		plain.WriteByte('\n')
	}
	if plain.Len() > maxUnpacked {
		return nil, fmt.Errorf("the shard %s has %d bytes, which is more than %d", name, plain.Len(), maxUnpacked)
	}
	if old != nil {
		if packed, unpacked, err := old.shard(name); err == nil && bytes.Equal(unpacked, plain.Bytes()) {
			return packed, nil
		}
	}
	z, err := encoder()
	if err != nil {
		return nil, err
	}
	return z.EncodeAll(plain.Bytes(), nil), nil
}

// clearOld removes the files of an earlier tree that the new one has not. Anything that is no file of a feed is an error: the folder is another one.
func clearOld(dir string, m *Manifest) error {
	root := os.DirFS(dir)
	return fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		_, stays := m.Files[name]
		switch {
		case err != nil || e.IsDir() || stays || name == ManifestFile || name == HeadsFile:
			return err
		case !filePattern().MatchString(name):
			return fmt.Errorf("the folder %s has %s, which is no file of a feed: choose an empty folder", dir, name)
		}
		return os.Remove(filepath.Join(dir, filepath.FromSlash(name)))
	})
}
