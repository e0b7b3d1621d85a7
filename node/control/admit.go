package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/MordragT/nuka/protocol"
)

// These bound the connections that may be open at once. Strangers cannot use up those reserved for the node's own user.
const (
	maxEnrolled  = 1000 // of one user
	maxStrangers = 256  // light peers of other machines, and strangers that try to attach
	maxAttaching = 64   // connections among these that have not shown a right yet
)

// admitStranger gives a connection without an enrolled key a limited time to show its right.
// The caller calls leave when the connection has ended.
func (s *server) admitStranger(conn *quic.Conn, c *caller) (leave func(), err error) {
	if s.o.Grants == nil {
		conn.CloseWithError(codeDenied, "this key is not enrolled")
		return nil, errors.New("it is not enrolled")
	}
	select {
	case s.strangers <- struct{}{}:
	default:
		conn.CloseWithError(codeBusy, "too many connections")
		return nil, errors.New("too many connections of other machines")
	}
	leave = func() {
		<-s.strangers
		if c.grant != "" {
			s.count(c.grant, -1)
		}
	}
	select {
	case s.attaching <- struct{}{}:
		defer func() { <-s.attaching }()
	default:
		conn.CloseWithError(codeBusy, "too many connections")
		leave()
		return nil, errors.New("too many connections that have shown no right yet")
	}
	ctx, cancel := context.WithTimeout(conn.Context(), attachTimeout)
	defer cancel()
	if err := s.attach(ctx, conn, c); err != nil {
		conn.CloseWithError(codeDenied, "it has shown no right")
		leave()
		return nil, err
	}
	if s.count(c.grant, +1) > maxOfGrant {
		conn.CloseWithError(codeBusy, "too many connections by this ticket")
		leave()
		return nil, errors.New("too many connections by one grant")
	}
	return leave, nil
}

// count adds by to the number of connections of a grant, and returns the new number.
func (s *server) count(grant string, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byGrant[grant] + by
	if n == 0 {
		delete(s.byGrant, grant)
	} else {
		s.byGrant[grant] = n
	}
	return n
}

// own reports whether a user is the daemon's own, or root.
func (s *server) own(user uint32) bool { return user == 0 || int(user) == os.Getuid() }

// countUser adds by to the number of connections of a user of this machine, and returns the new number.
func (s *server) countUser(user uint32, by int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.byUser[user] + by
	if n == 0 {
		delete(s.byUser, user)
	} else {
		s.byUser[user] = n
	}
	return n
}

// attachTimeout is how long a light peer of another machine may take to show its right.
const attachTimeout = 10 * time.Second

// A caller is the other end of a connection.
type caller struct {
	key     protocol.Key
	here    bool          // a user of this machine
	user    uint32        // which, if here
	grant   string        // the id of the grant that it has shown
	reading chan struct{} // a slot for each request that is being read
}

// These bound what a caller of another machine may send before the server looks at its call.
const (
	maxReading     = 4               // requests at a time on one connection
	maxRequest     = 16 << 20        // bytes of one request
	requestTimeout = 2 * time.Minute // until the whole request has arrived
	maxOfGrant     = 8               // connections of one grant
)

// readRequest reads the request that a stream begins with.
func (c *caller) readRequest(in *bufio.Reader, stream *quic.Stream) (req request, err error) {
	limit := protocol.MaxFrame
	if !c.here {
		select {
		case c.reading <- struct{}{}:
			defer func() { <-c.reading }()
		case <-stream.Context().Done():
			return req, stream.Context().Err()
		}
		limit = maxRequest
		late := time.AfterFunc(requestTimeout, func() { stream.CancelRead(0) })
		defer late.Stop()
	}
	kind, payload, err := readFrame(in, limit)
	if err == nil && kind != frameRequest {
		err = errors.New("control: a stream must begin with a request")
	}
	if err == nil {
		err = json.Unmarshal(payload, &req)
	}
	return req, err
}

// actor returns the caller with its present rights: its grant may have been removed since the connection was made.
func (s *server) actor(c *caller) Actor {
	switch {
	case c.here && s.own(c.user):
		return Actor{Key: c.key, Local: true}
	case c.here:
		return Actor{Key: c.key, User: c.user, May: []protocol.Right{protocol.RightUser}}
	}
	return Actor{Key: c.key, Grant: c.grant, May: s.o.Grants.may(c.grant, s.now())}
}

func (s *server) now() time.Time {
	if s.o.Now != nil {
		return s.o.Now()
	}
	return time.Now()
}

// attach reads the first call of a connection, which shows a bearer secret.
func (s *server) attach(ctx context.Context, conn *quic.Conn, c *caller) error {
	stream, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	defer stream.CancelRead(0)
	if deadline, ok := ctx.Deadline(); ok {
		_ = stream.SetReadDeadline(deadline)
	}
	kind, payload, err := readFrame(bufio.NewReader(stream), 64<<10)
	var req request
	var args protocol.AttachArgs
	if err == nil {
		err = json.Unmarshal(payload, &req)
	}
	if err == nil {
		err = json.Unmarshal(req.Args, &args)
	}
	out := &frameWriter{w: stream}
	grant := grantID(args.Right)
	if err != nil || kind != frameRequest || req.Op != protocol.OpAttach || len(s.o.Grants.may(grant, s.now())) == 0 {
		refusal := protocol.Errorf(protocol.Denied, "this node does not know the right of this ticket").
			WithHint("it may have expired or been revoked: ask the node's user for another ticket")
		return errors.Join(refusal, err, out.writeJSON(frameError, refusal), lastWord(conn, stream))
	}
	if err := out.writeJSON(frameResult, nil); err != nil {
		return err
	}
	c.grant = grant
	return nil
}

// lastWord gives the other end the time to read an answer before the connection is closed.
func lastWord(conn *quic.Conn, stream *quic.Stream) error {
	err := stream.Close()
	select {
	case <-conn.Context().Done():
	case <-time.After(time.Second):
	}
	return err
}

// A strangersEnd is the stream of a light peer of another machine. If the peer makes no progress for a while, reads and writes fail:
// otherwise a call that waits for the peer would hold its slot for as long as the peer keeps the connection open.
type strangersEnd struct {
	stream *quic.Stream
	stall  time.Duration
}

func (e *strangersEnd) Read(b []byte) (int, error) {
	_ = e.stream.SetReadDeadline(time.Now().Add(e.stall)) // fails if the stream has ended, and then the read fails too
	return e.stream.Read(b)
}

func (e *strangersEnd) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		_ = e.stream.SetWriteDeadline(time.Now().Add(e.stall))
		n, err := e.stream.Write(b[done:min(len(b), done+dataSize)])
		if done += n; err != nil {
			return done, err
		}
	}
	return len(b), nil
}

func (s *server) stall() time.Duration {
	if s.o.Stall > 0 {
		return s.o.Stall
	}
	return time.Minute
}
