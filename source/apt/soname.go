package apt

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// Sonames maps names of shared libraries, as ELF files need them, to the packages that have them. It is safe for concurrent use.
type Sonames struct {
	Arch string
	// From are the contents files that the table was made of.
	From []ContentsDate

	text  string  // a line for each name, sorted by name: the name, then its owners
	lines []int32 // where each line begins
}

// A ContentsDate is one contents file: its suite, the date of the Release that signed it, and its hash.
type ContentsDate struct {
	Suite  string
	Date   time.Time
	SHA256 Digest
}

const (
	sonamesHead = "# nuka sonames 1 "
	sonamesFrom = "# contents "
	maxSonames  = 16 << 20 // bytes of a table
	maxSoname   = 256      // bytes of a name
)

// Owner returns the packages that have a library of this name, best first: those that nuka prefers, else by priority, else the shortest name. If none has it, ok is false.
func (s *Sonames) Owner(soname string) (packages []string, ok bool) {
	i, ok := slices.BinarySearchFunc(s.lines, soname, func(at int32, soname string) int {
		name, _, _ := strings.Cut(s.line(at), " ")
		return strings.Compare(name, soname)
	})
	if !ok {
		return nil, false
	}
	return strings.Fields(s.line(s.lines[i]))[1:], true
}

// Len returns the number of names.
func (s *Sonames) Len() int { return len(s.lines) }

// line returns the line that begins at an offset.
func (s *Sonames) line(at int32) string {
	line, _, _ := strings.Cut(s.text[at:], "\n")
	return line
}

// Encode returns the file of the table, compressed. Equal tables have equal files.
func (s *Sonames) Encode() []byte {
	var head strings.Builder
	head.WriteString(sonamesHead + s.Arch + "\n")
	for _, c := range s.From {
		fmt.Fprintf(&head, "%s%s %s %s\n", sonamesFrom, c.Suite, c.Date.UTC().Format(lockDate), c.SHA256)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = io.WriteString(z, head.String()+s.text) // a buffer takes all
	_ = z.Close()
	return packed.Bytes()
}

// DecodeSonames reads the file of a table.
func DecodeSonames(packed []byte) (*Sonames, error) {
	wrong := func(format string, args ...any) error {
		return protocol.Errorf(protocol.Damaged, "table of libraries: "+format, args...).WithHint("nuka lock makes it again")
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, wrong("%v", err)
	}
	all, err := io.ReadAll(limited(z, maxSonames))
	if err != nil {
		return nil, wrong("%v", err)
	}
	first, text, _ := strings.Cut(string(all), "\n")
	s := &Sonames{Arch: strings.TrimPrefix(first, sonamesHead)}
	if !strings.HasPrefix(first, sonamesHead) || !isWord(s.Arch) {
		return nil, wrong("it begins with %.100q", first)
	}
	for strings.HasPrefix(text, sonamesFrom) {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		f := strings.Fields(strings.TrimPrefix(line, sonamesFrom))
		if len(f) != 3 || !isWord(f[0]) {
			return nil, wrong("the line %.100q", line)
		}
		at, err := time.Parse(lockDate, f[1])
		sum, bad := ParseDigest(f[2])
		if err != nil || bad != nil {
			return nil, wrong("the line %.100q", line)
		}
		s.From = append(s.From, ContentsDate{f[0], at.UTC(), sum})
	}
	s.text = text
	before := ""
	for at := 0; at < len(text); {
		line, _, ok := strings.Cut(text[at:], "\n")
		f := strings.Split(line, " ")
		if !ok || len(f) < 2 || !isSoname(f[0]) || f[0] <= before || slices.ContainsFunc(f[1:], func(p string) bool { return !IsName(p) }) {
			return nil, wrong("the line %.100q", line)
		}
		before = f[0]
		s.lines = append(s.lines, int32(at))
		at += len(line) + 1
	}
	return s, nil
}

// isSoname reports whether s can be the name of a shared library: a file name of printable ASCII without spaces.
func isSoname(s string) bool {
	if s == "" || len(s) > maxSoname || s[0] == '#' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '\\' {
			return false
		}
	}
	return true
}

// owners collects the owners of names.
type owners map[string][]string

func (o owners) add(name string, packages ...string) {
	for _, p := range packages {
		if !slices.Contains(o[name], p) {
			o[name] = append(o[name], p)
		}
	}
}

// sonames returns the table of collected owners, which are sorted best first.
func (o owners) sonames(x *Index, prefer []string) (string, []int32) {
	var text strings.Builder
	var lines []int32
	for _, name := range slices.Sorted(maps.Keys(o)) {
		list := o[name]
		slices.SortFunc(list, func(a, b string) int { return x.better(a, b, prefer) })
		lines = append(lines, int32(text.Len()))
		text.WriteString(name + " " + strings.Join(list, " ") + "\n")
	}
	return text.String(), lines
}
