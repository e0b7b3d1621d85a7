package control

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

// Enrolled is the set of keys that may call a daemon, kept in a file.
type Enrolled struct {
	path string
	mu   sync.Mutex
	keys map[protocol.Key]bool
}

// OpenEnrolled reads the set from a file, one key a line. A missing file is an empty set.
func OpenEnrolled(path string) (*Enrolled, error) {
	e := &Enrolled{path: path, keys: map[protocol.Key]bool{}}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(content) {
		// A crash or an editor may leave a line that is no key. The key of that line is enrolled again at its next call.
		if key, err := protocol.ParseKey(strings.TrimSpace(string(line))); err == nil {
			e.keys[key] = true
		}
	}
	return e, nil
}

// Has reports whether key may call.
func (e *Enrolled) Has(key protocol.Key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keys[key]
}

// Add adds key to the set and its file.
func (e *Enrolled) Add(key protocol.Key) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keys[key] {
		return nil
	}
	var b bytes.Buffer
	for _, k := range append(slices.Collect(maps.Keys(e.keys)), key) {
		fmt.Fprintln(&b, k)
	}
	if err := atomicfile.Write(e.path, b.Bytes()); err != nil {
		return err
	}
	e.keys[key] = true
	return nil
}
