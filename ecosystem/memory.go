package ecosystem

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/pir"
)

// A Memory is a file that notes which file of a store came from an address of a registry that promises nothing better than SHA-1 or MD5. By such a hash alone nothing may be
// taken out of a store, because others can make two files with one hash. By the address, too, it is the file that the registry itself sent before, and that it still
// promises: so a second project does not download it. Nil remembers nothing. Several Memories may use one file.
type Memory struct {
	path string
	mu   sync.Mutex
	read bool
	of   map[string]pir.Hash // B3, by place
}

// NewMemory returns the Memory in a file, which is read and made when it is needed. It is a cache: what is wrong in it is ignored.
func NewMemory(path string) *Memory { return &Memory{path: path} }

// MemoryFile is the usual name of a Memory in the cache folder of a home.
const MemoryFile = "registry-files"

const maxMemory = 8 << 20 // bytes, of some 110 for each file; of a longer one the second half stays

// recall returns the hash of a file that was remembered.
func (m *Memory) recall(place string) (pir.Hash, bool) {
	if m == nil || place == "" {
		return pir.Hash{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	h, ok := m.of[place]
	return h, ok
}

// remember notes a file. A memory that cannot be written forgets it.
func (m *Memory) remember(place string, hash pir.Hash) {
	if m == nil || place == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.load()
	if m.of[place] == hash {
		return
	}
	m.of[place] = hash
	f, err := os.OpenFile(m.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	_, _ = io.WriteString(f, place+" "+hash.String()+"\n")
	_ = f.Close()
}

func (m *Memory) load() {
	if m.read {
		return
	}
	m.read, m.of = true, map[string]pir.Hash{}
	f, err := os.Open(m.path)
	if err != nil {
		return
	}
	text, err := io.ReadAll(&bounded.Reader{R: f, Left: 4 * maxMemory, Over: io.ErrShortBuffer})
	if f.Close() != nil || err != nil {
		_ = os.Remove(m.path)
		return
	}
	if len(text) > maxMemory {
		text = text[len(text)/2:]
		text = text[bytes.IndexByte(text, '\n')+1:]
		_ = atomicfile.Replace(m.path, text)
	}
	for line := range strings.Lines(string(text)) {
		place, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if h, err := pir.ParseHash(rest); ok && err == nil && h.Algorithm == pir.B3 {
			m.of[place] = h
		}
	}
}

// place returns the name of a file in a Memory: its address, and the weak hashes that are promised. It is "" if a better hash is promised, by which stores find files, or none.
func (rec *Recorder) place(q Request, known *about) string {
	at, _, ok := rec.at.address(q)
	if !ok {
		return ""
	}
	text := at.String()
	for _, f := range known.all() {
		switch {
		case !f.Promised.IsZero():
			return ""
		case f.Weak != "" && !strings.Contains(text, "\n"+f.Weak):
			text += "\n" + f.Weak
		}
	}
	if text == at.String() {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
