package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/protocol"
)

// joinTimeout is how long an exchange about an invitation may take.
const joinTimeout = 20 * time.Second

// Join shows an invitation to the node of a ticket, and returns its answer. The swarm carries both as bytes: only the systems at both
// ends know who may join.
func (h *Host) Join(ctx context.Context, ticket string, request []byte) ([]byte, error) {
	if len(request) > protocol.MaxJoin {
		return nil, fmt.Errorf("join: a request of %d bytes, at most %d", len(request), protocol.MaxJoin)
	}
	info, err := parseAddress(ticket)
	if err != nil {
		return nil, err
	}
	if err := h.Connect(ctx, ticket); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	st, err := h.open(ctx, info.ID, protocol.JoinProtocol)
	if err != nil {
		return nil, protocol.Errorf(protocol.Unavailable, "the node of the ticket answers no invitations: %w", err)
	}
	defer st.Reset(0)
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
		return nil, protocol.Errorf(protocol.Denied, "the node of the ticket did not let us in: %w", err).
			WithHint("an invitation is for one key, and for a time: ask for another")
	}
	return answer, nil
}

// serveJoin answers an invitation.
func (h *Host) serveJoin(ctx context.Context, st routing.Stream, _ *routing.Peer, from routing.Requester) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	_ = st.SetDeadline(time.Now().Add(joinTimeout))
	request, err := readBounded(st)
	if err != nil {
		return err
	}
	answer, err := h.o.Invited(ctx, from.Key, request)
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
