package archive

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// An arReader reads the members of an ar archive, in the GNU and BSD variants (ar(5)). Debian packages are ar archives (deb(5)).
// Each step advances by at least one header, so reading terminates.
type arReader struct {
	r    io.ReaderAt
	size int64
	at   int64 // of the next header
}

const (
	arMagic     = "!<arch>\n"
	arHeaderLen = 60
)

// An arMember is one file of an ar archive.
type arMember struct {
	name string
	*io.SectionReader
}

func newArReader(r io.ReaderAt, size int64) (*arReader, error) {
	magic := make([]byte, len(arMagic))
	if _, err := r.ReadAt(magic, 0); err != nil || string(magic) != arMagic {
		return nil, errors.New("ar: it does not begin as an ar archive does")
	}
	return &arReader{r: r, size: size, at: int64(len(arMagic))}, nil
}

// next returns the next member, or io.EOF after the last one.
func (a *arReader) next() (*arMember, error) {
	if a.at >= a.size {
		return nil, io.EOF
	}
	header := make([]byte, arHeaderLen)
	if _, err := a.r.ReadAt(header, a.at); err != nil {
		return nil, fmt.Errorf("ar: the header at %d is cut off", a.at)
	}
	if string(header[58:]) != "`\n" {
		return nil, fmt.Errorf("ar: no header at %d", a.at)
	}
	start := a.at + arHeaderLen
	size, err := arNumber(header[48:58])
	if err != nil || size > a.size-start {
		return nil, fmt.Errorf("ar: the header at %d declares an impossible size, %.10q", a.at, header[48:58])
	}
	name := strings.TrimRight(string(header[:16]), " ")
	content := io.NewSectionReader(a.r, start, size)
	a.at = start + size + size%2
	if long, ok := strings.CutPrefix(name, "#1/"); ok { // BSD: the name is at the start of the content
		length, err := arNumber([]byte(long))
		if err != nil || length > size || length > 4096 {
			return nil, fmt.Errorf("ar: a name of an impossible length, %.16q", name)
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(content, text); err != nil {
			return nil, fmt.Errorf("ar: read name: %w", err)
		}
		name = strings.TrimRight(string(text), "\x00")
		content = io.NewSectionReader(a.r, start+length, size-length)
	} else if name != "/" && name != "//" { // GNU: a slash ends the name
		name = strings.TrimSuffix(name, "/")
	}
	return &arMember{name, content}, nil
}

// arNumber reads a decimal number padded with spaces. It accepts digits only: a sign could lead back.
func arNumber(field []byte) (int64, error) {
	text := strings.TrimRight(string(field), " ")
	n, err := strconv.ParseUint(text, 10, 62)
	return int64(n), err
}
