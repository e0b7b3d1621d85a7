package cas_test

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/cas/index"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

var updateKey = ed25519.NewKeyFromSeed(make([]byte, 32))

func signed(t *testing.T, id pir.PID, c cid.CID, at time.Time) protocol.Attestation {
	t.Helper()
	a := protocol.Attestation{PID: id, CID: c, Size: 1, Issued: at}
	must(t, a.Sign(updateKey))
	return a
}

func numbered(i int) pir.PID { return pir.Sum(binary.BigEndian.AppendUint32(nil, uint32(i))) }

func importText(t *testing.T, s *cas.Store, text string) cid.CID {
	t.Helper()
	c, err := s.Import(t.Context(), fstest.MapFS{"f": {Data: []byte(text)}}, nil)
	must(t, err)
	return c
}

// Calls that bind, unbind and verify at the same time leave a PID under the one content that it is bound to.
func TestBindHammer(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	roots := []cid.CID{importText(t, s, "a"), importText(t, s, "b")}
	stop, verified := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(verified)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Verify(t.Context(), func(p cas.Problem) { t.Errorf("while calls run: %s", p) }); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := range 200 {
		id := numbered(i)
		var wg sync.WaitGroup
		for n := range 8 {
			a := signed(t, id, roots[n%2], time.Now())
			wg.Go(func() {
				if err := s.Bind(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		}
		if i%3 == 0 {
			wg.Go(func() {
				if err := s.Unbind(t.Context(), id); err != nil && !errors.Is(err, cas.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		bound, err := s.CID(id)
		if err != nil && !errors.Is(err, cas.ErrNotFound) {
			t.Fatal(err)
		}
		for _, c := range roots {
			for p, err := range s.PIDs(c) {
				must(t, err)
				if p == id && c != bound {
					t.Errorf("PID %d is listed under %s and bound to %q", i, c, bound)
				}
			}
		}
	}
	close(stop)
	<-verified
	castest.Check(t, s)
}

// The newest attestation of a signer stays, in whichever order they come, at once or in one call.
func TestAttestHammer(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	now, empty := time.Now(), cid.Sum(cid.Raw, nil)
	put := func(i int, list ...protocol.Attestation) {
		var wg sync.WaitGroup
		if i%2 == 0 {
			if err := s.PutAttestations(t.Context(), list...); err != nil {
				t.Error(err)
			}
			return
		}
		for _, a := range list {
			wg.Go(func() {
				if err := s.PutAttestations(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	for i := range 300 {
		id := numbered(i)
		put(i, signed(t, id, empty, now), signed(t, id, empty, now.Add(-time.Hour)))
		for a, err := range s.Attestations(id) {
			must(t, err)
			if a.Issued.Unix() != now.Unix() {
				t.Fatalf("%d: the older attestation replaced the newer", i)
			}
		}
	}
	// A signer that contradicts itself a hundred times costs the room of a few.
	id := numbered(1000)
	var list []protocol.Attestation
	for i := range 100 {
		list = append(list, signed(t, id, cid.Sum(cid.Raw, fmt.Append(nil, i)), now.Add(time.Duration(i)*time.Second)))
	}
	must(t, s.PutAttestations(t.Context(), list...))
	n, newest := 0, time.Time{}
	for a, err := range s.Attestations(id) {
		must(t, err)
		n++
		if a.Issued.After(newest) {
			newest = a.Issued
		}
	}
	if n > 4 || newest.Unix() != list[99].Issued.Unix() {
		t.Errorf("got %d attestations, the newest of %s; want 4 at most, of %s", n, newest, list[99].Issued)
	}
}

// Origins that a call gives are not lost to a call at the same time that knows none.
func TestPutPIRHammer(t *testing.T) {
	s := castest.Open(t, t.TempDir(), nil)
	for i := range 200 {
		canonical := fmt.Append(nil, "pir ", i)
		id := pir.Sum(canonical)
		var wg sync.WaitGroup
		for _, origins := range [][]byte{nil, []byte("origin"), nil} {
			wg.Go(func() {
				if err := s.PutPIR(context.Background(), id, canonical, origins); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, origins, err := s.PIR(id); err != nil || string(origins) != "origin" {
			t.Fatalf("%d: got origins %q, %v", i, origins, err)
		}
	}
}

// A journal of which most is outdated is written anew, while other calls go on, and holds what counts.
func TestJournalIsCompacted(t *testing.T) {
	dir := t.TempDir()
	o := &cas.Options{Index: index.Options{JournalSlack: 20_000}}
	s := castest.Open(t, dir, o)
	roots := []cid.CID{importText(t, s, "a"), importText(t, s, "b")}
	const pids = 10
	start := time.Now()
	var wg sync.WaitGroup
	for i := range pids {
		wg.Go(func() {
			for n := range 100 {
				if err := s.Bind(t.Context(), signed(t, numbered(i), roots[n%2], start.Add(time.Duration(n)*time.Second))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if size := journalSize(t, dir); size > 60_000 {
		t.Errorf("after 1000 changes of 10 records the journal has %d bytes", size)
	}
	castest.Check(t, s)
	must(t, s.Close())
	// The journal alone tells what was bound.
	must(t, os.RemoveAll(filepath.Join(dir, "index")))
	s = castest.Open(t, dir, o)
	for i := range pids {
		if c, err := s.CID(numbered(i)); err != nil || c != roots[1] {
			t.Errorf("%d: got %s, %v; want %s", i, c, err, roots[1])
		}
	}
	castest.Check(t, s)
}

// A renewal that was cut off before the index knew of it leaves a second journal. A rebuild must not take that one.
func TestJournalOfRenewalCutOff(t *testing.T) {
	dir := t.TempDir()
	s := castest.Open(t, dir, nil)
	c := importText(t, s, "a")
	must(t, s.Close())
	journals, err := filepath.Glob(filepath.Join(dir, "meta", "journal-*"))
	must(t, err)
	b, err := os.ReadFile(journals[0])
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "meta", "journal-9"), b, 0o600))
	s = castest.Open(t, dir, nil)
	must(t, s.Bind(t.Context(), signed(t, numbered(1), c, time.Now())))
	must(t, s.Close())
	must(t, os.RemoveAll(filepath.Join(dir, "index")))
	s = castest.Open(t, dir, nil)
	if got, err := s.CID(numbered(1)); err != nil || got != c {
		t.Errorf("got %s, %v; want %s", got, err, c)
	}
}
