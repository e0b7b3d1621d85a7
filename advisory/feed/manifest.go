package feed

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// ManifestFile is the file at the root of a feed's tree that lists the others.
	ManifestFile = "feed.nuon"
	// StatementsFile has the statements of the packagers.
	StatementsFile = "statements.json"
	// HeadsFile has the signed heads, a line each. It is beside the tree that they sign.
	HeadsFile = "feed.heads"

	format        = 1
	maxManifest   = 4 << 20   // bytes
	maxFiles      = 40_000    // of a tree
	maxPacked     = 8 << 20   // bytes of a shard
	maxUnpacked   = 64 << 20  // bytes of a shard, unpacked
	maxTree       = 512 << 20 // bytes of all files
	maxStatements = 8 << 20   // bytes
	maxBroken     = 1_000     // that are listed
	shards        = 256       // of one ecosystem
)

// A Manifest lists what a feed's tree holds.
type Manifest struct {
	Name    string
	Made    int64          // seconds since 1970: when the records were collected
	Sources []string       // where they are from, for people
	Records map[string]int // by ecosystem with its release, such as Debian:12
	Files   map[string]File
	Broken  []Broken // records that could not be read, or not wholly
}

// A File is a file of a tree.
type File struct {
	Size int64
	Hash string // BLAKE3, hex
}

// A Broken is a record that does not count, or not wholly.
type Broken struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// Total returns the number of records of all ecosystems. A record of two ecosystems counts twice.
func (m *Manifest) Total() (n int) {
	for _, one := range m.Records {
		n += one
	}
	return n
}

func hashOf(b []byte) string {
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func fileOf(b []byte) File { return File{int64(len(b)), hashOf(b)} }

var filePattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63}/[0-9a-f]{2}\.zst|statements\.json)$`)
})

// shardOf returns the path of the shard of a package.
func shardOf(ecosystem, name string) string {
	base, _, _ := strings.Cut(ecosystem, ":")
	sum := blake3.Sum256([]byte(name))
	return path.Join(strings.ReplaceAll(base, " ", "-"), hex.EncodeToString(sum[:1])+".zst")
}

// encode returns the canonical text of a manifest.
func (m *Manifest) encode() ([]byte, error) {
	records, files := nuon.Record{}, nuon.Record{}
	for name, n := range m.Records {
		records[name] = int64(n)
	}
	for name, f := range m.Files {
		files[name] = nuon.Record{"size": f.Size, "hash": f.Hash}
	}
	sources := make(nuon.List, len(m.Sources))
	for i, s := range m.Sources {
		sources[i] = s
	}
	broken := make(nuon.List, len(m.Broken))
	for i, b := range m.Broken {
		broken[i] = nuon.Record{"id": b.ID, "why": b.Why}
	}
	text, err := nuon.Encode(nuon.Record{"feed": int64(format), "name": m.Name, "made": m.Made, "sources": sources, "records": records, "files": files, "broken": broken})
	return append(text, '\n'), err
}

// decodeManifest reads the text of a manifest, and accepts only what encode writes.
func decodeManifest(text []byte) (*Manifest, error) {
	if len(text) > maxManifest {
		return nil, fmt.Errorf("%s has more than %d bytes", ManifestFile, maxManifest)
	}
	rec, err := nuon.DecodeRecord(bytes.TrimSuffix(text, []byte("\n")))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestFile, err)
	}
	if rec["feed"] != int64(format) {
		return nil, fmt.Errorf("%s: its form is %v, and this program knows %d", ManifestFile, rec["feed"], format)
	}
	m := &Manifest{Records: map[string]int{}, Files: map[string]File{}}
	m.Name, _ = rec["name"].(string)
	m.Made, _ = rec["made"].(int64)
	sources, _ := rec["sources"].(nuon.List)
	for _, v := range sources {
		s, _ := v.(string)
		m.Sources = append(m.Sources, s)
	}
	records, _ := rec["records"].(nuon.Record)
	for name, v := range records {
		n, _ := v.(int64)
		m.Records[name] = int(n)
	}
	files, _ := rec["files"].(nuon.Record)
	for name, v := range files {
		one, _ := v.(nuon.Record)
		f := File{}
		f.Size, _ = one["size"].(int64)
		f.Hash, _ = one["hash"].(string)
		m.Files[name] = f
	}
	broken, _ := rec["broken"].(nuon.List)
	for _, v := range broken {
		one, _ := v.(nuon.Record)
		b := Broken{}
		b.ID, _ = one["id"].(string)
		b.Why, _ = one["why"].(string)
		m.Broken = append(m.Broken, b)
	}
	again, err := m.encode()
	if err == nil && !bytes.Equal(again, text) {
		err = fmt.Errorf("%s: a field is unknown or wrong", ManifestFile)
	}
	if err == nil {
		err = m.check()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// check returns an error about sizes and names that no feed needs.
func (m *Manifest) check() error {
	if len(m.Files) > maxFiles || len(m.Broken) > maxBroken+1 || len(m.Records) > maxFiles {
		return fmt.Errorf("%s lists %d files, %d ecosystems and %d broken records, which is too much", ManifestFile, len(m.Files), len(m.Records), len(m.Broken))
	}
	total := int64(0)
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		f := m.Files[name]
		most := int64(maxPacked)
		if name == StatementsFile {
			most = maxStatements
		}
		switch {
		case !filePattern().MatchString(name):
			return fmt.Errorf("%s: %.80q is no file of a feed", ManifestFile, name)
		case f.Size < 0 || f.Size > most:
			return fmt.Errorf("%s: %s has %d bytes, want at most %d", ManifestFile, name, f.Size, most)
		case len(f.Hash) != 64:
			return fmt.Errorf("%s: %s has no hash", ManifestFile, name)
		}
		if total += f.Size; total > maxTree {
			return fmt.Errorf("%s: the tree has more than %d MiB", ManifestFile, maxTree>>20)
		}
	}
	return nil
}
