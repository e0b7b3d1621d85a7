package prepared

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/sandbox"
)

// A Key is everything that a preparation took from its caller: words, the current folder, variables. Its parts may contain any byte.
type Key []string

// hash returns the name of the key's file.
func (k Key) hash() string {
	b, _ := json.Marshal(k) // strings are always valid
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// A Run is a prepared run.
type Run struct {
	Launcher string       `json:"launcher"` // the path of the launcher's program
	Spec     sandbox.Spec `json:"spec"`     // without the program and its arguments
	Program  string       `json:"program"`  // the program's name
	Package  string       `json:"package"`  // the PID of the runtime
	Content  string       `json:"content"`  // the CID of its content
	Folder   string       `json:"folder"`   // where the node shows packages

	facts []fact
}

// Holds reports whether all that the run was prepared from is unchanged.
func (r *Run) Holds() bool { return holds(r.facts) }

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
func (c *Cache) Read(k Key) *Run {
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
	r := decode(b, k)
	if r != nil && time.Since(info.ModTime()) > touchAfter {
		_ = os.Chtimes(f.Name(), time.Time{}, time.Now())
	}
	return r
}

// Write keeps a prepared run, unless its state is lost. It reports whether it did. A run that cannot be kept is prepared again.
func (c *Cache) Write(k Key, r *Run, s *State) bool {
	if !supported || s.lost {
		return false
	}
	b, err := json.Marshal(&stored{k, r, s.facts})
	if err != nil || len(b)+len(magic)+32 > maxFile || os.MkdirAll(c.Dir, 0o700) != nil {
		return false
	}
	return atomicfile.Replace(filepath.Join(c.Dir, k.hash()), seal(b)) == nil
}

// seal returns a file with a text: the magic, the BLAKE3 hash of the text, and the text. The hash detects damage, and nothing else.
func seal(text []byte) []byte {
	sum := blake3.Sum256(text)
	return append(append([]byte(magic), sum[:]...), text...)
}

// decode decodes a file. It returns nil if b is not one of the key.
func decode(b []byte, k Key) *Run {
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < 32 {
		return nil
	}
	text := rest[32:]
	if sum := blake3.Sum256(text); !bytes.Equal(sum[:], rest[:32]) {
		return nil
	}
	var s stored
	if json.Unmarshal(text, &s) != nil || s.Run == nil || !slices.Equal(s.Key, k) || s.Run.Spec.Check() != nil {
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
