package control

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

// Enrolled is the set of keys that may call a daemon, each with its user, kept in a file.
type Enrolled struct {
	path string
	own  uint32 // the daemon's user
	mu   sync.Mutex
	list []enrolledKey // in the order of their enrolment
}

type enrolledKey struct {
	key  protocol.Key
	user uint32
}

// maxKeys bounds the keys of one user, so that no user fills the file. The oldest key of the user gives way.
const maxKeys = 64

// OpenEnrolled reads the set from a file: a key a line, and behind a key of another user a space and the user's number.
// A missing file is an empty set.
func OpenEnrolled(path string) (*Enrolled, error) {
	e := &Enrolled{path: path, own: uint32(max(0, os.Getuid()))}
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		text, number, others := strings.Cut(strings.TrimSpace(line), " ")
		user := uint64(e.own)
		if others {
			if user, err = strconv.ParseUint(number, 10, 32); err != nil {
				continue
			}
		}
		// A crash or an editor may leave a line that is no key. The key of that line is enrolled again at its next call.
		if key, err := protocol.ParseKey(text); err == nil {
			e.list = append(e.list, enrolledKey{key, uint32(user)})
		}
	}
	return e, nil
}

// User returns the user who enrolled a key, and whether one did.
func (e *Enrolled) User(key protocol.Key) (uint32, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.find(key); i >= 0 {
		return e.list[i].user, true
	}
	return 0, false
}

func (e *Enrolled) find(key protocol.Key) int {
	return slices.IndexFunc(e.list, func(k enrolledKey) bool { return k.key == key })
}

// Add adds a user's key to the set and its file. Another user's key is refused: a key is public, and what it may do is that user's.
func (e *Enrolled) Add(key protocol.Key, user uint32) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := e.find(key); i >= 0 {
		if e.list[i].user != user {
			return fmt.Errorf("user %d has enrolled this key", e.list[i].user)
		}
		return nil
	}
	list := append(slices.Clone(e.list), enrolledKey{key, user})
	ofUser := func(k enrolledKey) bool { return k.user == user }
	if len(list) > maxKeys && count(list, ofUser) > maxKeys {
		i := slices.IndexFunc(list, ofUser)
		list = slices.Delete(list, i, i+1)
	}
	var b bytes.Buffer
	for _, k := range list {
		if k.user == e.own {
			fmt.Fprintln(&b, k.key)
		} else {
			fmt.Fprintln(&b, k.key, k.user)
		}
	}
	if err := atomicfile.Write(e.path, b.Bytes()); err != nil {
		return err
	}
	e.list = list
	return nil
}

func count(list []enrolledKey, is func(enrolledKey) bool) (n int) {
	for _, k := range list {
		if is(k) {
			n++
		}
	}
	return n
}
