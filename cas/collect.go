package cas

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/MordragT/nuka/cas/collect"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/cas/lease"
	"github.com/MordragT/nuka/pir"
)

// ErrCollecting says that another collection runs.
var ErrCollecting = collect.ErrCollecting

// A Lease keeps content and packages from collection until it is released; see package lease. A nil Lease keeps nothing.
type Lease = lease.Lease

// CollectOptions change one collection; see package collect. Nil is all zero.
type CollectOptions = collect.Options

// Collected says what a collection has removed, or would remove.
type Collected = collect.Result

// Lease returns a new lease. what says for people who holds it.
func (s *Store) Lease(what string) *Lease { return s.leases.New(what) }

// Leases yields the leases that are held.
func (s *Store) Leases() iter.Seq[*Lease] { return s.leases.Each() }

// Collect removes what neither roots, nor leases, nor o keep, and returns what it has removed. Other calls run meanwhile.
// If it fails or is cancelled, it has removed a part, and the store is whole. ErrCollecting if another collection runs.
func (s *Store) Collect(ctx context.Context, o *CollectOptions) (Collected, error) {
	if err := s.calls.Enter(); err != nil {
		return Collected{}, fmt.Errorf("collect: %w", err)
	}
	defer s.calls.Leave()
	got, err := s.collector.Run(ctx, o)
	if err := s.countBlobs(); err != nil {
		s.log.Warn("the store does not know its size, and may refuse content until the next collection", "error", err)
	}
	if err != nil {
		return got, fmt.Errorf("collect: %w", err)
	}
	return got, nil
}

// Use records that packages are used now. It is on disk at some later time, and costs little if a package was used today already.
func (s *Store) Use(ctx context.Context, at time.Time, pids ...pir.PID) error {
	if err := s.calls.Enter(); err != nil {
		return fmt.Errorf("record a use: %w", err)
	}
	defer s.calls.Leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	v := index.EncodeUse(at)
	err := s.index.Update(index.Soon, func(c *index.Changes) error {
		for _, p := range pids {
			old, err := s.index.Get(index.UseKey(p))
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if !bytes.Equal(old, v) {
				c.Set(index.UseKey(p), v)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record a use: %w", err)
	}
	return nil
}
