package set

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
)

// A Rank says why a package was found. A larger one is a better reason.
type Rank int

// The ranks.
const (
	ByFile    Rank = iota + 1 // one of its files
	ByCommand                 // one of its commands
	ByWord                    // a word of its description, or a part of its name
	ByPrefix                  // its name begins so
	ByName                    // its name
)

// A Hit is a package that was found.
type Hit struct {
	Entry *Entry
	Rank  Rank // the mean of the ranks of all words
	score int
}

// MaxHits bounds the packages that Search returns.
const MaxHits = 1000

// Search returns the packages to which each of the words leads, best first: by name, the beginning of a name, a word of the description, a
// command, a file. A word of three or more letters finds words of descriptions, commands and files that begin with it, too, after the others.
func (x *Index) Search(words []string) ([]Hit, error) {
	scores, found := make([]int32, x.entries), make([]uint8, x.entries)
	for i, word := range words {
		clear(found)
		x.find(strings.ToLower(word), found)
		for n, score := range found {
			if score == 0 || i > 0 && scores[n] == 0 {
				scores[n] = 0
			} else {
				scores[n] += int32(score)
			}
		}
	}
	var numbers []uint32
	for n, score := range scores {
		if score > 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	// Numbers are in the order of names.
	slices.SortFunc(numbers, func(a, b uint32) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), cmp.Compare(a, b)) })
	var hits []Hit
	for _, n := range numbers[:min(len(numbers), MaxHits)] {
		e, err := x.Entry(int(n))
		if err != nil {
			return nil, err
		}
		hits = append(hits, Hit{Entry: e, Rank: Rank((int(scores[n])/len(words) + 1) / 2), score: int(scores[n])})
	}
	return hits, nil
}

// SortHits sorts the hits of several sets, best first. Of equal hits, those of the set that was first stay first.
func SortHits(hits []Hit) {
	slices.SortStableFunc(hits, func(a, b Hit) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Entry.Name, b.Entry.Name))
	})
}

// find adds the packages to which a word leads: twice the rank, and one less for the beginning of a word.
func (x *Index) find(word string, found []uint8) {
	if word == "" {
		return
	}
	better := func(n uint32, score int) {
		if int(n) < len(found) {
			found[n] = max(found[n], uint8(score))
		}
	}
	for i := x.firstName(word); i < x.entries; i++ {
		name := x.name(i)
		if !bytes.HasPrefix(name, []byte(word)) {
			break
		}
		if len(name) == len(word) {
			better(uint32(i), 2*int(ByName))
		} else {
			better(uint32(i), 2*int(ByPrefix))
		}
	}
	for _, k := range []struct {
		kind byte
		rank Rank
	}{{wordText, ByWord}, {wordCommand, ByCommand}, {wordFile, ByFile}} {
		x.each(k.kind, word, len(word) >= 3, func(n uint32, whole bool) {
			score := 2 * int(k.rank)
			if !whole {
				score--
			}
			better(n, score)
		})
	}
}

// each calls fn for the packages that have a word, and with prefix those that have one that begins with it.
func (x *Index) each(kind byte, word string, prefix bool, fn func(n uint32, whole bool)) {
	key := append([]byte{kind}, word...)
	first := sort.Search(x.words, func(i int) bool { w, _ := x.word(i); return bytes.Compare(w, key) >= 0 })
	for i := first; i < x.words; i++ {
		w, c := x.word(i)
		if !bytes.HasPrefix(w, key) || !prefix && len(w) != len(key) {
			return
		}
		n := uint32(0)
		for range min(c.number(), uint64(x.entries)) {
			n += uint32(c.number())
			if c.err != nil {
				return
			}
			fn(n, len(w) == len(key))
		}
	}
}

// firstName returns the number of the first package whose name is not less than a text.
func (x *Index) firstName(text string) int {
	return sort.Search(x.entries, func(i int) bool { return bytes.Compare(x.name(i), []byte(text)) >= 0 })
}

// Find returns the packages of a name, sorted by path.
func (x *Index) Find(name string) ([]*Entry, error) {
	var out []*Entry
	for i := x.firstName(name); i < x.entries && string(x.name(i)) == name; i++ {
		e, err := x.Entry(i)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Prefixed returns up to most packages whose names begin with a text.
func (x *Index) Prefixed(text string, most int) ([]*Entry, error) {
	var out []*Entry
	for i := x.firstName(text); i < x.entries && len(out) < most && bytes.HasPrefix(x.name(i), []byte(text)); i++ {
		e, err := x.Entry(i)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Command returns the packages that have a command, then those that have its name and whose commands are not known, unless they are in a
// folder lib.
func (x *Index) Command(command string) ([]*Entry, error) {
	var out []*Entry
	var wrong error
	x.each(wordCommand, strings.ToLower(command), false, func(n uint32, _ bool) {
		e, err := x.Entry(int(n))
		if err != nil {
			wrong = err
		} else if slices.Contains(e.Commands, command) {
			out = append(out, e)
		}
	})
	named, err := x.Find(command)
	if wrong == nil {
		wrong = err
	}
	for _, e := range named {
		if e.Guessed && !strings.HasPrefix(e.Path, "lib/") && !strings.Contains(e.Path, "/lib/") {
			out = append(out, e)
		}
	}
	return out, wrong
}

// A Change is the difference of one package between two states of a set.
type Change struct {
	Path     string
	Old, New *Entry // nil: the state does not have it
}

// Diff returns the packages that differ between two states of a set, sorted by path: in their version, or in their PID, if both are known.
func Diff(from, to []Entry) []Change {
	all := map[string]*Change{}
	for i := range from {
		all[from[i].Path] = &Change{Path: from[i].Path, Old: &from[i]}
	}
	for i := range to {
		if c := all[to[i].Path]; c != nil {
			c.New = &to[i]
		} else {
			all[to[i].Path] = &Change{Path: to[i].Path, New: &to[i]}
		}
	}
	var out []Change
	for _, c := range all {
		if c.Old == nil || c.New == nil || c.Old.Version != c.New.Version || c.Old.PID != c.New.PID {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return out
}
