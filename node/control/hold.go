package control

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A Hold is a connection to the socket of a daemon, which keeps one package as long as it lasts. It does what a call of OpMount over a Client does, for a caller that
// needs nothing else, without a key and its handshake: the kernel tells the daemon which user asks.
type Hold struct{ conn net.Conn }

// StartHold asks the daemon of a folder for one package, and does not wait for the answer. If none runs, the error is ErrNoDaemon.
func StartHold(ctx context.Context, dir string, id pir.PID) (*Hold, error) {
	conn, err := dialSocket(ctx, dir)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(socketTimeout))
	if _, err := fmt.Fprintf(conn, "%s %s\n", protocol.OpMount, id); err != nil {
		conn.Close()
		return nil, ErrNoDaemon
	}
	return &Hold{conn}, nil
}

// Answer waits for the answer. It is an error if the daemon does not have the package, or its content does not count for this user.
func (h *Hold) Answer() (*protocol.MountState, error) {
	var answer hello
	var state protocol.MountState
	if err := json.NewDecoder(io.LimitReader(h.conn, maxAnswer)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if answer.Error != "" {
		return nil, protocol.Errorf(protocol.Denied, "the daemon refused: %s", answer.Error)
	}
	return &state, json.Unmarshal(answer.Result, &state)
}

// Close lets the daemon drop the package.
func (h *Hold) Close() error { return h.conn.Close() }

// hold answers the line of a Hold, and keeps the connection until its other end closes it. A line that is no such is an error of answerSocket.
func (s *server) hold(conn net.Conn, in *bufio.Reader, user uint32, word string) (hello, func(), error) {
	none := func() {}
	id, err := pir.ParsePID(word)
	if err != nil {
		return hello{}, none, err
	}
	actor := Actor{Local: true}
	if !s.own(user) {
		actor = Actor{User: user, May: []protocol.Right{protocol.RightUser}}
	}
	args, err := json.Marshal(protocol.MountArgs{Packages: []pir.PID{id}})
	if err != nil {
		return hello{}, none, err
	}
	leave := func() { s.countUser(user, -1) }
	if s.countUser(user, +1) > maxEnrolled {
		leave()
		return hello{}, none, fmt.Errorf("too many connections of user %d", user)
	}
	if !s.begin() {
		leave()
		return hello{}, none, errStopping
	}
	defer s.running.Done()
	open, end := context.WithCancel(s.open)
	ctx, cancel := context.WithTimeout(s.calls, socketTimeout)
	defer cancel()
	result, err := s.handle(ctx, actor, &Call{
		Op: protocol.OpMount, Args: args, Conn: open, Event: func(protocol.Event) {}, Data: strings.NewReader(""), Reply: io.Discard,
	})
	answer := hello{}
	if err == nil {
		answer.Result, err = json.Marshal(result)
	}
	if err != nil {
		end()
		leave()
		return hello{}, none, err
	}
	return answer, func() {
		stop := context.AfterFunc(s.open, func() { conn.Close() })
		_ = conn.SetDeadline(time.Time{})
		_, _ = in.ReadByte() // the other end says nothing more: this is its end
		stop()
		end()
		leave()
	}, nil
}
