package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/MordragT/nuka/protocol"
)

// joinTimeout is how long an exchange about an invitation may take.
const joinTimeout = 20 * time.Second

// Join shows an invitation to the node of a ticket, and returns its answer.
// Who may come is for the systems on both sides to know: to the swarm these are bytes.
func (s *Swarm) Join(ctx context.Context, ticket string, request []byte) ([]byte, error) {
	if len(request) > protocol.MaxJoin {
		return nil, fmt.Errorf("join: a request of %d bytes, at most %d", len(request), protocol.MaxJoin)
	}
	info, err := parseAddress(ticket)
	if err != nil {
		return nil, err
	}
	if err := s.Connect(ctx, ticket); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	st, done, err := s.open(ctx, info.ID, protocol.JoinProtocol)
	if err != nil {
		return nil, protocol.Errorf(protocol.Unavailable, "the node of the ticket answers no invitations: %v", err)
	}
	defer done()
	_, err = st.Write(request)
	if err == nil {
		err = st.CloseWrite()
	}
	var answer []byte
	if err == nil {
		answer, err = readBounded(st)
	}
	if err == nil && len(answer) == 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, protocol.Errorf(protocol.Denied, "the node of the ticket did not let us in: %v", err).
			WithHint("an invitation is for one, and for a time: ask for another")
	}
	return answer, nil
}

// serveJoin answers an invitation.
func (s *Swarm) serveJoin(ctx context.Context, st network.Stream, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	_ = st.SetDeadline(time.Now().Add(joinTimeout))
	key, err := keyOf(m.id)
	if err != nil {
		return err
	}
	request, err := readBounded(st)
	if err != nil {
		return err
	}
	answer, err := s.o.Invited(ctx, key, request)
	if err != nil {
		return err
	}
	_, err = st.Write(answer)
	return err
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, protocol.MaxJoin+1))
	if err == nil && len(b) > protocol.MaxJoin {
		err = errors.New("more bytes than an invitation has")
	}
	return b, err
}
