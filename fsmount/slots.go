package fsmount

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/internal/crclog"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// maxSlots bounds the number of slots, and with it the size of a file of leases.
const maxSlots = 1 << 24

// A slot is a PID and the CID that it is shown with.
type slot struct {
	pid pir.PID
	cid cid.CID
}

// noSlot is the number of no slot: that of the top of the mount.
const noSlot = 0

// slots is the table of slots. Its file is a log in the format of crclog.Summed: the key of a record is the number of the slot as four bytes, its
// value the PID, the CID and the kind of the tree's root in one byte. A record is written before the answer that uses it, so a number keeps its meaning when the daemon crashes.
// The file is not synced for each record: after a power cut no kernel remembers a number.
type slots struct {
	mu      sync.RWMutex
	file    *os.File
	list    []slot     // by number; the first is unused
	kinds   []cas.Kind // of the roots, by number
	current map[slot]uint32
}

// openSlots reads the table at path, and creates it if there is none. A torn record at its end is removed.
func openSlots(path string) (*slots, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("slots: %w", err)
	}
	s := &slots{file: f, list: make([]slot, 1), kinds: make([]cas.Kind, 1), current: map[slot]uint32{}}
	good, err := crclog.Read(crclog.Summed, f, s.replay)
	if errors.Is(err, crclog.ErrTorn) {
		err = f.Truncate(good)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("slots %s: %w", path, err), f.Close())
	}
	return s, nil
}

func (s *slots) replay(r crclog.Record) error {
	pid, end := len(pir.PID{}), len(r.Value)-1
	if len(r.Key) != 4 || binary.BigEndian.Uint32(r.Key) != uint32(len(s.list)) || end < pid {
		return crclog.ErrTorn
	}
	c, err := cid.FromBytes(r.Value[pid:end])
	if err != nil {
		return crclog.ErrTorn
	}
	s.add(slot{pir.PID(r.Value[:pid]), c}, cas.Kind(r.Value[end]))
	return nil
}

func (s *slots) add(v slot, kind cas.Kind) {
	s.current[v] = uint32(len(s.list))
	s.list = append(s.list, v)
	s.kinds = append(s.kinds, kind)
}

// known reports whether a slot has a number.
func (s *slots) known(v slot) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.current[v] != noSlot
}

// A newSlot is a slot and the kind of its tree's root.
type newSlot struct {
	slot
	kind cas.Kind
}

// numbers returns the numbers of slots in the order of list, and makes those that do not exist yet with one write.
func (s *slots) numbers(list ...newSlot) ([]uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	var fresh []newSlot
	seen := map[slot]bool{}
	for _, v := range list {
		if s.current[v.slot] != noSlot || seen[v.slot] {
			continue
		}
		seen[v.slot] = true
		n := len(s.list) + len(fresh)
		if n >= maxSlots {
			return nil, fmt.Errorf("the mount has shown %d packages, which is the most: stop the daemon and remove the file %s", maxSlots, s.file.Name())
		}
		fresh = append(fresh, v)
		value := slices.Concat(v.pid[:], v.cid.Bytes(), []byte{byte(v.kind)})
		b = crclog.Summed.Append(b, crclog.Record{Key: binary.BigEndian.AppendUint32(nil, uint32(n)), Value: value})
	}
	if len(b) > 0 {
		info, err := s.file.Stat()
		if err == nil {
			if _, err = s.file.Write(b); err != nil { // a disk that is full may have taken a part of it
				err = errors.Join(err, s.file.Truncate(info.Size()))
			}
		}
		if err != nil {
			return nil, fmt.Errorf("slots: %w", err)
		}
	}
	for _, v := range fresh {
		s.add(v.slot, v.kind)
	}
	numbers := make([]uint32, len(list))
	for i, v := range list {
		numbers[i] = s.current[v.slot]
	}
	return numbers, nil
}

// at returns the slot with a number; false if there is none.
func (s *slots) at(n uint32) (slot, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n == noSlot || int(n) >= len(s.list) {
		return slot{}, false
	}
	return s.list[n], true
}

// all returns all slots, by number.
func (s *slots) all() map[uint32]slot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := make(map[uint32]slot, len(s.list))
	for n, v := range s.list {
		if n != noSlot {
			found[uint32(n)] = v
		}
	}
	return found
}

// kind returns the kind of the root of a slot that exists.
func (s *slots) kind(n uint32) cas.Kind {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.kinds[n]
}

func (s *slots) close() error { return errors.Join(s.file.Sync(), s.file.Close()) }
