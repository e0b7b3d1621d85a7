package cas

import (
	"context"
	"fmt"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/receive"
	"github.com/MordragT/nuka/pir/cid"
)

// Block returns the bytes of any block: a node, or a leaf, which is a range of a blob; also of a tree that is being received,
// see receive.Receiving. They have been compared with c. ErrNotFound, ErrDamaged.
func (s *Store) Block(ctx context.Context, c cid.CID) ([]byte, error) {
	return s.appendBlock(ctx, nil, c, true)
}

// AppendBlock is Block into the room behind buf, for a caller that compares the bytes with c itself, as a peer does.
// It returns buf with the block behind it, in a new place if there was no room. If the bytes are wrong, Block finds the damage.
func (s *Store) AppendBlock(ctx context.Context, c cid.CID, buf []byte) ([]byte, error) {
	return s.appendBlock(ctx, buf, c, false)
}

func (s *Store) appendBlock(ctx context.Context, buf []byte, c cid.CID, compare bool) ([]byte, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := s.anyBlock(buf, c, compare)
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	return b, nil
}

func (s *Store) anyBlock(buf []byte, c cid.CID, compare bool) ([]byte, error) {
	// The list is made before the index is read: a Receiving that finishes meanwhile is on it.
	live := s.receivings.Live()
	b, err := s.blocks.Append(buf, c, compare)
	if err == nil || disk.UnlessAbsent(err) != nil || len(live) == 0 {
		return b, err
	}
	for _, r := range live {
		if b := r.Append(buf, c, compare); b != nil {
			return b, nil
		}
	}
	return s.blocks.Append(buf, c, compare) // a Receiving may have finished meanwhile
}

// Receive begins to take in the tree that root names, block by block, or continues an earlier Receiving of the root.
// Blocks that an earlier Receiving has left on disk are compared with their hashes first, which takes a while.
// One caller at a time can receive a root; receive.ErrReceiving for another.
func (s *Store) Receive(ctx context.Context, root cid.CID, o *receive.Options) (*receive.Receiving, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, fmt.Errorf("receive %s: %w", root, err)
	}
	defer s.calls.Leave()
	return s.receivings.Begin(ctx, root, o)
}
