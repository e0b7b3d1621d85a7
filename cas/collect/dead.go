package collect

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// A deadBlob is a blob that nothing keeps, and the room that it takes.
type deadBlob struct {
	name  cid.CID
	bytes int64
}

// dead returns the dead blobs.
func (r *run) dead(ctx context.Context, m *marks) ([]deadBlob, error) {
	var list []deadBlob
	for row, err := range r.Index.Scan(index.Blobs.Key()) {
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name, err := cid.FromBytes(row.Key[1:])
		if err != nil {
			return nil, err
		}
		if !m.has(blobKey(name)) {
			list = append(list, deadBlob{name: name})
		}
	}
	r.measure(list)
	return list, nil
}

// measure finds the room that each blob takes. Several goroutines ask the system, which takes most of the time of a dry run.
func (r *run) measure(list []deadBlob) {
	const share = 1024
	var g errgroup.Group
	g.SetLimit(4)
	for part := range slices.Chunk(list, share) {
		g.Go(func() error {
			for i := range part {
				part[i].bytes = r.room(part[i].name)
			}
			return nil
		})
	}
	g.Wait() //nolint:errcheck // there are none
}

// room returns the room on the disk that the file of a blob takes and its removal frees.
func (r *run) room(blob cid.CID) int64 {
	info, err := os.Lstat(r.Dir.Blob(blob))
	if err != nil {
		return 0
	}
	return disk.Room(info)
}

// isDead says whether the binding of a package to a tree goes.
func (r *run) isDead(p pir.PID, c cid.CID) bool { return !r.m.pids[p] && !r.m.hasCID(c) }

// look counts what is dead, which is the result of a dry run.
func (r *run) look(ctx context.Context) error {
	if err := r.same(); err != nil || !r.o.DryRun {
		return err
	}
	blobs, err := r.dead(ctx, r.m)
	if err != nil {
		return err
	}
	r.result.Blobs = len(blobs)
	for _, b := range blobs {
		r.result.Bytes += b.bytes
	}
	for row, err := range r.Index.Scan(index.Bindings.Key()) {
		if err != nil {
			return err
		}
		c, err := cid.FromBytes(row.Value)
		if err != nil {
			return err
		}
		if p := pir.PID(row.Key[1:]); r.isDead(p, c) {
			r.result.gone(p)
		}
	}
	return r.records(ctx, func(k []byte, counts bool) error {
		if counts {
			r.result.Records++
		}
		return nil
	})
}

// same notes that the records of packages are kept which have, by some signer, the content of a package whose records are kept: their
// resolved PIDs are among them, by which early cutoff finds that content.
func (r *run) same() error {
	stated := map[cid.CID]bool{}
	var others []pir.PID
	for _, known := range []bool{true, false} {
		for row, err := range r.Index.Scan(index.Attestations.Key()) {
			if err != nil {
				return err
			}
			p := pir.PID(row.Key[1:33])
			c, err := cid.FromBytes(row.Key[len(row.Key)-cid.Size:])
			switch {
			case err != nil:
				return err
			case r.m.known[p] && known:
				stated[c] = true
			case !known && stated[c]:
				others = append(others, p)
			}
		}
	}
	for _, p := range others {
		r.m.known[p] = true
	}
	return nil
}

func (r *Result) gone(p pir.PID) {
	r.Packages++
	r.Gone = append(r.Gone, p)
}

// records calls fn with the key of each record of a package whose records go. counts: it is a description or an attestation.
func (r *run) records(ctx context.Context, fn func(k []byte, counts bool) error) error {
	for _, t := range []index.Table{index.Attestations, index.PIRs, index.Uses} {
		for row, err := range r.Index.Scan(t.Key()) {
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if r.m.known[pir.PID(row.Key[1:33])] {
				continue
			}
			if err := fn(row.Key, t != index.Uses); err != nil {
				return err
			}
		}
	}
	return nil
}
