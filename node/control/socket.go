package control

import (
	"bufio"
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
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// hello is the daemon's answer on its socket.
type hello struct {
	Key     string `json:"key"`
	Address string `json:"address"`
	Error   string `json:"error,omitempty"`
	// Result is the result of a call.
	Result json.RawMessage `json:"result,omitempty"`
}

const (
	socketName  = "control.sock"
	addressName = "address.json"
	// maxSocketPath is the length that fits in the shortest sun_path of the supported platforms.
	maxSocketPath = 100
	socketTimeout = 5 * time.Second
	// maxAnswer bounds the daemon's answer on its socket, in bytes.
	maxAnswer = 1 << 20
)

// SocketPath returns the path of the socket of the daemon of a folder.
func SocketPath(dir string) (string, error) { return socketPath(dir) }

// socketPath returns the path of a folder's socket. The socket lies in the folder, or, if that path is too long for a socket,
// in a folder of the user below the one for temporary files.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, socketName)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	short := filepath.Join(os.TempDir(), fmt.Sprintf("nuka-%d", os.Getuid()))
	if err := os.MkdirAll(short, 0o700); err != nil {
		return "", err
	}
	// Every user may make folders there. If another user owned this one, that user could replace the socket in it.
	if info, err := os.Lstat(short); err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ownFile(info) {
		return "", errors.Join(fmt.Errorf("folder %s: it must be a folder of yours alone; remove it, or set TMPDIR", short), err)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(absolute))
	return filepath.Join(short, hex.EncodeToString(sum[:8])+".sock"), nil
}

// Started returns when the daemon of a folder began to answer: two daemons have different times. It is zero if there never was a daemon, and says
// nothing about whether the daemon still runs.
func Started(dir string) time.Time {
	info, err := os.Stat(filepath.Join(dir, addressName))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (s *server) acceptSocket(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		s.conns.Go(func() {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(socketTimeout))
			answer, rest, err := s.answerSocket(conn)
			if err != nil {
				s.log.Warn("socket", "error", err)
				answer.Error = err.Error()
			}
			_ = json.NewEncoder(conn).Encode(answer)
			rest()
		})
	}
}

// answerSocket reads a line, which is a key or the name of a call, and asks the kernel which user sent it.
// It makes the call for the daemon's own user, and enrols keys of that user; with Everyone it enrols keys of every user. Rest is what remains to be done after the
// answer was written.
func (s *server) answerSocket(conn net.Conn) (answer hello, rest func(), err error) {
	rest = func() {}
	in := bufio.NewReader(io.LimitReader(conn, 256))
	line, err := in.ReadString('\n')
	if err != nil {
		return hello{}, rest, err
	}
	line = strings.TrimSpace(line)
	user, err := peerOf(conn)
	if err != nil {
		return hello{}, rest, err
	}
	op := protocol.Op(line)
	called := slices.Contains(socketOps, op)
	if !s.own(user) && (!s.o.Everyone || called && op != protocol.OpStatus) {
		return hello{}, rest, fmt.Errorf("user %d may not do this with the daemon of user %d", user, os.Getuid())
	}
	if word, ok := strings.CutPrefix(line, string(protocol.OpMount)+" "); ok {
		return s.hold(conn, in, user, word)
	}
	answer = s.hello
	if called {
		answer.Result, err = s.socketCall(op)
		return answer, rest, err
	}
	key, err := protocol.ParseKey(line)
	if err == nil {
		err = s.o.Enrolled.Add(key, user)
	}
	if err != nil {
		return hello{}, rest, err
	}
	return answer, rest, nil
}

// socketOps are the calls that the socket accepts, so that a command can get the status of a daemon in another network namespace, and stop it.
var socketOps = []protocol.Op{protocol.OpStatus, protocol.OpStop}

func (s *server) socketCall(op protocol.Op) (json.RawMessage, error) {
	if !s.begin() {
		return nil, errStopping
	}
	defer s.running.Done()
	ctx, cancel := context.WithTimeout(s.calls, socketTimeout)
	defer cancel()
	result, err := s.handle(ctx, Actor{Local: true}, &Call{Op: op, Event: func(protocol.Event) {}, Data: strings.NewReader(""), Reply: io.Discard})
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}

// Ask makes a call of socketOps to the daemon of a folder. It needs no network, so it reaches a daemon in any network namespace.
// If no daemon runs, the error is ErrNoDaemon. If one runs and does not answer, it is ErrSilent.
func Ask(ctx context.Context, dir string, op protocol.Op, result any) error {
	h, err := askSocket(ctx, dir, string(op))
	if err != nil {
		return err
	}
	if result == nil || h.Result == nil {
		return nil
	}
	return json.Unmarshal(h.Result, result)
}

// Process returns the process that listens at the socket of a folder, as the kernel reports it, or 0 if the system does not report it.
func Process(ctx context.Context, dir string) (int, error) {
	conn, err := dialSocket(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return peerProcess(conn)
}

func dialSocket(ctx context.Context, dir string) (net.Conn, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, socketTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, ErrSilent
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrNoDaemon // there is no socket, or no process listens at it
	}
	return conn, nil
}

// askSocket sends a line to the daemon of a folder and returns its answer.
func askSocket(ctx context.Context, dir, line string) (hello, error) {
	conn, err := dialSocket(ctx, dir)
	if err != nil {
		return hello{}, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(socketTimeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	var h hello
	if _, err = fmt.Fprintln(conn, line); err == nil {
		err = json.NewDecoder(io.LimitReader(conn, maxAnswer)).Decode(&h)
	}
	switch {
	case ctx.Err() != nil:
		return hello{}, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return hello{}, ErrSilent
	case err != nil:
		return hello{}, ErrNoDaemon
	case h.Error != "":
		return hello{}, protocol.Errorf(protocol.Denied, "the daemon refused: %s", h.Error).
			WithHint("ask its user or the machine's administrator, or use a node of your own: set NUKA_HOME to a folder")
	}
	return h, nil
}
