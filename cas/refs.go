package cas

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/MordragT/nuka/cas/disk"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// ScanRefs returns those of the candidates whose text occurs in the tree, sorted, each once:
// in the bytes of a file or in the target of a symbolic link.
// A compressed or otherwise encoded PID is not seen.
func (s *Store) ScanRefs(ctx context.Context, root cid.CID, candidates []pir.PID) ([]pir.PID, error) {
	found, err := s.scanRefs(ctx, root, candidates)
	if err != nil {
		return nil, fmt.Errorf("scan %s for references: %w", root, err)
	}
	return found, nil
}

func (s *Store) scanRefs(ctx context.Context, root cid.CID, candidates []pir.PID) ([]pir.PID, error) {
	all := newRefSet(candidates)
	if len(all.ids) == 0 {
		return nil, nil
	}
	var mu sync.Mutex
	found := map[pir.PID]bool{}
	add := func(id pir.PID) {
		mu.Lock()
		defer mu.Unlock()
		found[id] = true
	}
	scanned := map[cid.CID]bool{}
	g, running := errgroup.WithContext(ctx)
	g.SetLimit(s.readers())
	for e, err := range s.Entries(running, root) {
		if err != nil {
			if e := g.Wait(); e != nil {
				return nil, e
			}
			return nil, err
		}
		if scanned[e.CID] || e.Kind == Dir {
			continue
		}
		scanned[e.CID] = true
		if e.Kind == Symlink {
			all.scan([]byte(e.Target), add)
			continue
		}
		if e.Size < pir.PIDLen {
			continue
		}
		g.Go(func() error {
			f, err := s.OpenFile(running, e.CID)
			if err != nil {
				return err
			}
			defer f.Close() //nolint:errcheck // it was only read
			return all.scanReader(running, f, add)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var ids []pir.PID
	for _, id := range candidates {
		if found[id] {
			ids = append(ids, id)
			delete(found, id)
		}
	}
	slices.SortFunc(ids, func(a, b pir.PID) int { return bytes.Compare(a[:], b[:]) })
	return ids, nil
}

// A refSet finds the texts of PIDs in bytes.
type refSet struct {
	ids   map[[pir.PIDLen]byte]pir.PID
	three [1 << 15]bool // the first three characters of each text
}

func newRefSet(candidates []pir.PID) *refSet {
	r := &refSet{ids: make(map[[pir.PIDLen]byte]pir.PID, len(candidates))}
	for _, id := range candidates {
		text := [pir.PIDLen]byte([]byte(id.String()))
		r.ids[text] = id
		r.three[prefixOf(text[:])] = true
	}
	return r
}

// digits has the value of each base32 character, and 255 for other bytes.
var digits = func() (d [256]byte) {
	for i := range d {
		d[i] = 255
	}
	for i, c := range []byte("abcdefghijklmnopqrstuvwxyz234567") {
		d[c] = byte(i)
	}
	return d
}()

func prefixOf(b []byte) int {
	return int(digits[b[0]])<<10 | int(digits[b[1]])<<5 | int(digits[b[2]])
}

// scan looks at every run of base32 characters that is long enough.
// Elsewhere it looks at one byte in 52.
func (r *refSet) scan(b []byte, found func(pir.PID)) {
	for i := 0; i+pir.PIDLen <= len(b); {
		// Going backwards finds the last byte that cannot be part of a PID.
		j := i + pir.PIDLen - 1
		for j >= i && digits[b[j]] != 255 {
			j--
		}
		if j >= i {
			i = j + 1
			continue
		}
		// A window without a gap: slide it along the run.
		for end := i + pir.PIDLen; ; end++ {
			if r.three[prefixOf(b[i:])] {
				if id, ok := r.ids[[pir.PIDLen]byte(b[i:end])]; ok {
					found(id)
				}
			}
			i++
			if end == len(b) {
				return
			}
			if digits[b[end]] == 255 {
				i = end + 1
				break
			}
		}
	}
}

// scanReader scans what it reads; a PID that crosses two reads is found too.
func (r *refSet) scanReader(ctx context.Context, in io.Reader, found func(pir.PID)) error {
	buf := disk.GetBuffer()
	defer buf.Free()
	keep := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(in, buf[keep:])
		n += keep
		r.scan(buf[:n], found)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
		keep = pir.PIDLen - 1
		copy(buf[:keep], buf[n-keep:n])
	}
}
