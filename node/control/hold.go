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

// hold answers a line that asks for a package. The answer is that of OpMount, for a caller that needs nothing else, without a key and its handshake: the kernel tells
// which user asks. Rest keeps the connection, and with it the package, until the other end closes it.
func (s *server) hold(conn net.Conn, in *bufio.Reader, user uint32, word string) (answer hello, rest func(), err error) {
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
