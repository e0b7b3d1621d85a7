package prepared

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/sandbox"
)

// hash returns the name of the key's file. Two keys may have the same: the file has its key.
func (k Key) hash() string {
	h := fnv.New128a()
	for _, part := range k {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A Run is a prepared run.
type Run struct {
	Spec    sandbox.Spec `json:"spec"`    // without the program and its arguments
	Program string       `json:"program"` // the program's name
	Package string       `json:"package"` // the PID of the runtime
	Content string       `json:"content"` // the CID of its content
	Folder  string       `json:"folder"`  // where the node shows packages
	Socket  string       `json:"socket"`  // where the node answers

	facts []fact
}

// stored is the form of a run on disk.
type stored struct {
	Key   Key    `json:"key"`
	Run   *Run   `json:"run"`
	Facts []fact `json:"facts"`
}

const (
	// magic is the start of a file. It changes with the format.
	magic = "nuka prepared run 1\n"
	// maxFile bounds a file in bytes.
	maxFile = 4 << 20
	// touchAfter is how old the time of a file's last use may be. nukad removes files that were not used for long.
	touchAfter = 24 * time.Hour
)

// A Cache is a folder of prepared runs. Only its user may write there, because a run says what a program may see: a folder or file that anybody else owns or
// may write is not read.
type Cache struct{ Dir string }

// Read returns the prepared run of a key, or nil.
func (c *Cache) Read(k Key) *Run { return decode(c.load(k), k) }

// load returns the file of a key, which may be damaged or that of another key, or nil.
func (c *Cache) load(k Key) []byte {
	if !supported {
		return nil
	}
	if info, err := os.Lstat(c.Dir); err != nil || !info.IsDir() || !own(info) {
		return nil
	}
	f, err := openOwn(filepath.Join(c.Dir, k.hash()))
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || !own(info) || info.Size() > maxFile {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil
	}
	if time.Since(info.ModTime()) > touchAfter {
		_ = os.Chtimes(f.Name(), time.Time{}, time.Now())
	}
	return b
}

// Write keeps a prepared run, unless its state is lost. It reports whether it did. A run that cannot be kept is prepared again.
func (c *Cache) Write(k Key, r *Run, s *State) bool {
	if !supported || s.lost {
		return false
	}
	b, err := json.Marshal(&stored{k, r, s.facts})
	first := byte(netNone)
	if r.Spec.Net == sandbox.NetHost {
		first = netHost
	}
	b = append([]byte{first}, b...)
	if err != nil || len(b)+len(magic)+sumSize > maxFile || os.MkdirAll(c.Dir, 0o700) != nil {
		return false
	}
	return atomicfile.Replace(filepath.Join(c.Dir, k.hash()), seal(b)) == nil
}

// seal returns a file with a text: the magic, a checksum of the text that detects damage, and the text.
func seal(text []byte) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte(magic), sum(text)), text...)
}

// The first byte of a text says which network the sandbox has: the name spaces are made before the text is decoded.
const netNone, netHost = ' ', '\n'

// netOf returns the network that a file names, which counts only if decode agrees.
func netOf(b []byte) sandbox.Net {
	if len(b) > len(magic)+sumSize && b[len(magic)+sumSize] == netHost {
		return sandbox.NetHost
	}
	return sandbox.NetNone
}

const sumSize = 8

func sum(text []byte) uint64 {
	h := fnv.New64a()
	h.Write(text)
	return h.Sum64()
}

// decode decodes a file. It returns nil if b is not one of the key.
func decode(b []byte, k Key) *Run {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < sumSize {
		return nil
	}
	text := rest[sumSize:]
	if sum(text) != binary.LittleEndian.Uint64(rest) {
		return nil
	}
	var s stored
	if json.Unmarshal(text, &s) != nil || s.Run == nil || !slices.Equal(s.Key, k) || s.Run.Spec.Net != netOf(b) || s.Run.Spec.Check() != nil {
		return nil
	}
	s.Run.facts = s.Facts
	return s.Run
}

// Places records the places in a private home at which something else is mounted: inside names the home in the sandbox, and home its folder.
func (s *State) Places(mounts []sandbox.Mount, inside, home string) {
	for _, m := range mounts {
		if rel, ok := strings.CutPrefix(m.Target, inside+"/"); ok {
			s.LeadsTo(filepath.Join(home, rel))
		}
	}
}

// openOwn opens a file for reading, but not over a link, and never waits for the other end of a pipe.
func openOwn(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDONLY|openFlags, 0) }
