package set

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/MordragT/nuka/pir"
)

// The limits of an index.
const (
	maxIndex = 1 << 30
	maxText  = 400  // bytes of one text of an entry
	maxMany  = 2000 // commands or files of an entry
)

// An Entry describes one package of a set.
type Entry struct {
	Name        string   // of the file, without .nu; the name in commands
	Path        string   // in the set, without .nu: app/lua
	Version     string   //
	Description string   //
	License     string   //
	PID         pir.PID  // without flags; zero if the package could not be evaluated
	Commands    []string // its programs, sorted
	Guessed     bool     // Commands are not known: the package was not built here, and its file does not name them
	Files       []string // names of its other files, sorted; only if the package is in the store
	Broken      string   // why it could not be evaluated; "" if it could
}

// The index is one file, in which search looks without decoding the rest. All numbers are little-endian uint32.
//
//	magic            "nuka set index 1"
//	counts           entries, words, bytes of entries, bytes of words
//	entry offsets    one for each entry, into the entries; sorted by name, then path
//	word offsets     one for each word, into the words; sorted
//	entries          each the fields of Entry, as lengths (uvarint) and bytes
//	words            each a length and the word, a count, and numbers of entries as differences
//
// The first byte of a word is its kind.
const indexMagic = "nuka set index 1"

const indexHead = len(indexMagic) + 4*4

// The kinds of words.
const (
	wordText    = 'd' // a word of a name or description
	wordCommand = 'c'
	wordFile    = 'f'
)

// BuildIndex returns the bytes of the index of entries. It sorts the entries.
func BuildIndex(entries []Entry) ([]byte, error) {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Path, b.Path)) })
	words := map[string][]uint32{}
	var body []byte
	offsets := make([]uint32, 0, len(entries))
	for i := range entries {
		e := entries[i].shortened()
		offsets = append(offsets, uint32(len(body)))
		body = e.append(body)
		own := map[string]bool{}
		for _, w := range Words(e.Name + " " + e.Description) {
			own[string(rune(wordText))+w] = true
		}
		for _, c := range e.Commands {
			own[string(rune(wordCommand))+strings.ToLower(c)] = true
		}
		for _, f := range e.Files {
			own[string(rune(wordFile))+strings.ToLower(f)] = true
		}
		for w := range own {
			words[w] = append(words[w], uint32(i))
		}
		if len(body) > maxIndex/2 {
			return nil, fmt.Errorf("the index has more than %d MiB", maxIndex>>21)
		}
	}
	var table []byte
	sorted := slices.Sorted(maps.Keys(words))
	places := make([]uint32, 0, len(sorted))
	for _, w := range sorted {
		places = append(places, uint32(len(table)))
		table = appendText(table, w)
		table = binary.AppendUvarint(table, uint64(len(words[w])))
		before := uint32(0)
		for _, n := range words[w] {
			table = binary.AppendUvarint(table, uint64(n-before))
			before = n
		}
	}
	if len(table) > maxIndex/2 {
		return nil, fmt.Errorf("the index has more than %d MiB", maxIndex>>21)
	}
	out := append(make([]byte, 0, indexHead+4*(len(offsets)+len(places))+len(body)+len(table)), indexMagic...)
	for _, n := range []int{len(offsets), len(places), len(body), len(table)} {
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
	}
	for _, list := range [][]uint32{offsets, places} {
		for _, n := range list {
			out = binary.LittleEndian.AppendUint32(out, n)
		}
	}
	return append(append(out, body...), table...), nil
}

// shortened returns a copy whose texts have no control characters and are within the limits.
func (e Entry) shortened() Entry {
	for _, s := range []*string{&e.Version, &e.Description, &e.License, &e.Broken} {
		*s = short(*s)
	}
	e.Commands = e.Commands[:min(len(e.Commands), maxMany)]
	e.Files = e.Files[:min(len(e.Files), maxMany)]
	return e
}

func short(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(s) <= maxText {
		return s
	}
	s = s[:maxText]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendList(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendText(b, s)
	}
	return b
}

func (e *Entry) append(b []byte) []byte {
	for _, s := range []string{e.Name, e.Path, e.Version, e.Description, e.License, e.Broken} {
		b = appendText(b, s)
	}
	b = append(b, e.PID[:]...)
	guessed := byte(0)
	if e.Guessed {
		guessed = 1
	}
	return appendList(appendList(append(b, guessed), e.Commands), e.Files)
}

// Words returns the words of a text: lower case, split at what is neither a letter nor a digit, each once.
func Words(text string) []string {
	list := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	slices.Sort(list)
	return slices.Compact(list)
}

// An Index is the index of a set, in the form of its file.
type Index struct {
	entries, words  int // how many
	offsets, places []byte
	body, table     []byte
}

var errIndex = errors.New("it is damaged, or another version wrote it")

// OpenIndex checks the frame of an index. Damage inside gives errors, or less, when it is read.
func OpenIndex(b []byte) (*Index, error) {
	if len(b) < indexHead || !bytes.HasPrefix(b, []byte(indexMagic)) {
		return nil, errIndex
	}
	var n [4]uint64
	for i := range n {
		n[i] = uint64(binary.LittleEndian.Uint32(b[len(indexMagic)+4*i:]))
	}
	if uint64(len(b)) != uint64(indexHead)+4*n[0]+4*n[1]+n[2]+n[3] {
		return nil, errIndex
	}
	rest := b[indexHead:]
	cut := func(n uint64) (part []byte) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	return &Index{entries: int(n[0]), words: int(n[1]), offsets: cut(4 * n[0]), places: cut(4 * n[1]), body: cut(n[2]), table: cut(n[3])}, nil
}

// Len returns the number of packages.
func (x *Index) Len() int { return x.entries }

// at returns the bytes from the place that a table of offsets has at a number.
func at(offsets, in []byte, i int) ([]byte, error) {
	if i < 0 || 4*i+4 > len(offsets) {
		return nil, errIndex
	}
	n := binary.LittleEndian.Uint32(offsets[4*i:])
	if uint64(n) > uint64(len(in)) {
		return nil, errIndex
	}
	return in[n:], nil
}

// A cursor reads fields, and keeps the first error.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) number() uint64 {
	n, size := binary.Uvarint(c.b)
	if size <= 0 {
		c.err, c.b = errIndex, nil
		return 0
	}
	c.b = c.b[size:]
	return n
}

func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.err, c.b = errIndex, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *cursor) text() []byte { return c.bytes(c.number()) }

func (c *cursor) list() (out []string) {
	n := c.number()
	if n > maxMany {
		c.err = errIndex
		return nil
	}
	for range n {
		out = append(out, string(c.text()))
	}
	return out
}

// Entry returns a package. Packages are sorted by name, then path.
func (x *Index) Entry(i int) (*Entry, error) {
	b, err := at(x.offsets, x.body, i)
	if err != nil {
		return nil, err
	}
	c := cursor{b: b}
	e := &Entry{}
	for _, s := range []*string{&e.Name, &e.Path, &e.Version, &e.Description, &e.License, &e.Broken} {
		*s = string(c.text())
	}
	copy(e.PID[:], c.bytes(uint64(len(e.PID))))
	if flag := c.bytes(1); len(flag) == 1 {
		e.Guessed = flag[0] != 0
	}
	e.Commands, e.Files = c.list(), c.list()
	return e, c.err
}

// Entries returns all packages.
func (x *Index) Entries() ([]Entry, error) {
	out := make([]Entry, 0, x.entries)
	for i := range x.entries {
		e, err := x.Entry(i)
		if err != nil {
			return nil, err
		}
		out = append(out, *e)
	}
	return out, nil
}

// name returns the name of a package without reading the rest.
func (x *Index) name(i int) []byte {
	b, err := at(x.offsets, x.body, i)
	if err != nil {
		return nil
	}
	c := cursor{b: b}
	return c.text()
}

// word returns a word, and what follows it.
func (x *Index) word(i int) ([]byte, *cursor) {
	b, err := at(x.places, x.table, i)
	if err != nil {
		return nil, &cursor{err: err}
	}
	c := &cursor{b: b}
	return c.text(), c
}
