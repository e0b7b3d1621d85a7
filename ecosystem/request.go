package ecosystem

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

const (
	maxPath  = 8 << 10 // bytes of a path or of a query
	maxLayer = 4       // how often a path may be escaped
)

var (
	goodAlias   = lazyregexp.New(`^[a-z0-9-]{1,40}$`)
	hostAlias   = lazyregexp.New(`^x[0-9a-f]{10}$`)
	goodVariant = lazyregexp.New(`^[a-z0-9.+-]{1,40}$`)
)

// HostAlias returns the alias of a host that no upstream stands for, from its address such as https://example.org. It does not tell the host's name.
func HostAlias(origin string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(origin)))
	return "x" + hex.EncodeToString(sum[:])[:10]
}

// String returns the text of a request in a recording: ALIAS PATH[?QUERY][ VARIANT].
func (r Request) String() string {
	s := r.Alias + " " + r.Path
	if r.Query != "" {
		s += "?" + r.Query
	}
	if r.Variant != "" {
		s += " " + r.Variant
	}
	return s
}

// URL returns the address at which a client asks for r at the proxy with DoorRegistry.
func (r Request) URL(base string) string {
	s := base + "/" + r.Alias + r.Path
	if r.Query != "" {
		s += "?" + r.Query
	}
	return s
}

// ParseRequest reads what String writes, and refuses requests that Check refuses.
func ParseRequest(s string) (Request, error) {
	part := strings.Split(s, " ")
	if len(part) < 2 || len(part) > 3 {
		return Request{}, fmt.Errorf("request %.100q: want ALIAS PATH[?QUERY][ VARIANT]", s)
	}
	r := Request{Alias: part[0]}
	r.Path, r.Query, _ = strings.Cut(part[1], "?")
	if len(part) == 3 {
		r.Variant = part[2]
	}
	if err := r.Check(); err != nil {
		return Request{}, err
	}
	if r.String() != s {
		return Request{}, fmt.Errorf("request %.100q: it ends in ? or in a space", s)
	}
	return r, nil
}

// Check returns an error if a client must not ask r: its path leaves the registry's address or has two spellings, or a character would end a line or a header.
func (r Request) Check() error {
	if !goodAlias().MatchString(r.Alias) {
		return fmt.Errorf("alias %.100q: want up to 40 of a-z, 0-9 and -", r.Alias)
	}
	if r.Variant != "" && !goodVariant().MatchString(r.Variant) {
		return fmt.Errorf("variant %.100q: want up to 40 of a-z, 0-9, . + and -", r.Variant)
	}
	if len(r.Path) > maxPath || len(r.Query) > maxPath {
		return fmt.Errorf("path %.100q…: it or its query has more than %d bytes", r.Path, maxPath)
	}
	if !strings.HasPrefix(r.Path, "/") || strings.HasPrefix(r.Path, "//") {
		return fmt.Errorf("path %.100q: want one / at the beginning", r.Path)
	}
	if canonical, err := CanonicalPath(r.Path); err != nil {
		return err
	} else if canonical != r.Path {
		return fmt.Errorf("path %.100q: its usual spelling is %.100q", r.Path, canonical)
	}
	for i := range len(r.Query) {
		if c := r.Query[i]; c <= ' ' || c > '~' || c == '#' || c == '"' || c == '\\' {
			return fmt.Errorf("query %.100q: the byte %q must be escaped", r.Query, c)
		}
	}
	return nil
}

// CanonicalPath returns the one spelling of an escaped path (RFC 3986, section 6.2.2): escapes in upper case, and none of letters, digits, - . _ and ~.
// It refuses paths with the segments . and .., with backslashes and control characters, however often they are escaped.
func CanonicalPath(path string) (string, error) {
	if plainPath(path) {
		return path, nil
	}
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '%':
			raw, err := hex.DecodeString(path[i+1 : min(i+3, len(path))])
			if err != nil || len(raw) != 1 {
				return "", fmt.Errorf("path %.100q: %% without two hexadecimal digits", path)
			}
			i += 2
			if unreserved(raw[0]) {
				b.WriteByte(raw[0])
			} else {
				fmt.Fprintf(&b, "%%%02X", raw[0])
			}
		case c <= ' ' || c > '~' || strings.IndexByte("\"#<>?\\^`{|}", c) >= 0:
			return "", fmt.Errorf("path %.100q: the byte %q must be escaped", path, c)
		default:
			b.WriteByte(c)
		}
	}
	out := b.String()
	return out, safeLayers(out)
}

// plainPath reports whether a path has one spelling and is safe at first sight, as nearly all are.
func plainPath(path string) bool {
	for i := range len(path) {
		switch c := path[i]; {
		case c == '.':
			if i == 0 || path[i-1] == '/' { // of a segment that may be . or ..
				return false
			}
		case !unreserved(c) && c != '/' && c != '@' && c != '+':
			return false
		}
	}
	return true
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// errClimbs says that a path could lead out of the address of its registry.
var errClimbs = errors.New("it has a segment . or .., a backslash or a control character")

// safeLayers checks a path, what it is when it is unescaped, and so on until nothing changes. Some server or client may unescape twice.
func safeLayers(path string) error {
	layer := path
	for range maxLayer {
		for i := range len(layer) {
			if layer[i] < ' ' || layer[i] == 0x7f || layer[i] == '\\' {
				return fmt.Errorf("path %.100q: %w", path, errClimbs)
			}
		}
		for segment := range strings.SplitSeq(layer, "/") {
			if segment == "." || segment == ".." {
				return fmt.Errorf("path %.100q: %w", path, errClimbs)
			}
		}
		next, err := url.PathUnescape(layer)
		if err != nil || next == layer { // an error: the layer below was the last one
			return nil
		}
		layer = next
	}
	return fmt.Errorf("path %.100q: it is escaped more than %d times", path, maxLayer-1)
}
