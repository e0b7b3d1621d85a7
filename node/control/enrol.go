package control

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// hello is what a daemon says on its socket.
type hello struct {
	Key     string `json:"key"`
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
}

const (
	socketName  = "control.sock"
	addressName = "address.json"
	// maxSocketPath is what the shortest sun_path of our platforms holds.
	maxSocketPath = 100
	enrolTimeout  = 5 * time.Second
)

// socketPath returns where the socket of a folder is: in it, or, where that is too long for a socket's name,
// in a folder of the user's below the one for temporary files.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	short := filepath.Join(os.TempDir(), fmt.Sprintf("nuka-%d", os.Getuid()))
	if err := os.MkdirAll(short, 0o700); err != nil {
		return "", err
	}
	if info, err := os.Lstat(short); err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("folder %s: it must be a folder of yours alone (%v)", short, err)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(absolute))
	return filepath.Join(short, hex.EncodeToString(sum[:8])+".sock"), nil
}

// listenEnrol opens the socket of a folder. The caller holds the store, so a socket that is there is a dead one.
func listenEnrol(dir string) (net.Listener, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, os.Chmod(path, 0o600)
}

func writeAddress(dir string, h hello) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, addressName), append(b, '\n'), 0o600)
}

func (s *server) acceptEnrol(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.running.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(enrolTimeout))
			if err := s.enrol(conn); err != nil {
				s.log.Warn("enrol", "error", err)
				_ = json.NewEncoder(conn).Encode(hello{Error: err.Error()})
			}
		})
	}
}

// enrol reads a key, asks the kernel who sent it, and keeps it if that is the daemon's own user.
func (s *server) enrol(conn net.Conn) error {
	line, err := bufio.NewReader(io.LimitReader(conn, 256)).ReadString('\n')
	if err != nil {
		return err
	}
	key, err := protocol.ParseKey(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	if err := checkPeer(conn); err != nil {
		return err
	}
	if err := s.o.Enrolled.Add(key); err != nil {
		return err
	}
	return json.NewEncoder(conn).Encode(s.hello)
}

// enrolAt sends a key to the daemon of a folder and learns its identity and address.
func enrolAt(ctx context.Context, dir string, key protocol.Key) (hello, error) {
	path, err := socketPath(dir)
	if err != nil {
		return hello{}, fmt.Errorf("control socket: %w", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil {
			return hello{}, ctx.Err()
		}
		return hello{}, ErrNoDaemon // there is no socket, or nobody listens at it
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(enrolTimeout))
	if _, err := fmt.Fprintln(conn, key); err != nil {
		return hello{}, ErrNoDaemon
	}
	var h hello
	if err := json.NewDecoder(io.LimitReader(conn, 4096)).Decode(&h); err != nil {
		return hello{}, ErrNoDaemon
	}
	if h.Error != "" {
		return hello{}, protocol.Errorf(protocol.Denied, "the daemon refused: %s", h.Error)
	}
	return h, nil
}

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
		key, err := protocol.ParseKey(strings.TrimSpace(string(line)))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		e.keys[key] = true
	}
	return e, nil
}

// Has reports whether key may call.
func (e *Enrolled) Has(key protocol.Key) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keys[key]
}

// Add keeps key.
func (e *Enrolled) Add(key protocol.Key) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.keys[key] {
		return nil
	}
	f, err := os.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, key); err != nil {
		return err
	}
	e.keys[key] = true
	return f.Close()
}
