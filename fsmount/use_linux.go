package fsmount

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/pir"
)

// askTime is how long Held asks the kernel what is in use: a running look-up of a package keeps it from answering.
const askTime = 5 * time.Second

// Held returns the packages of list that have open files, in any mount of this store: a collection must spare them. It also has the kernel give
// back the files that it keeps for the next open, because a collection cannot free the disk of those.
//
// Where the kernel opens files on its own, packages in which a process has its current directory count as well.
func (m *Mount) Held(list []pir.PID) []pir.PID {
	asked := make(map[pir.PID]bool, len(list))
	for _, p := range list {
		asked[p] = true
	}
	shown := m.core.slots.all()
	maps.DeleteFunc(shown, func(_ uint32, s slot) bool { return !asked[s.pid] })
	open, _ := m.connections()
	for _, c := range open {
		c.files.forget(func(uint32) bool { return true })
	}
	held := m.held(open, shown)
	var used []pir.PID
	for _, p := range list {
		if held[p] {
			used = append(used, p)
		}
	}
	return used
}

// InUse reports whether any file is open in a mount of this store, or the command of a guest runs.
func (m *Mount) InUse() bool {
	open, guests := m.connections()
	return guests || len(m.held(open, m.core.slots.all())) > 0
}

// held returns the packages of the slots of shown that are in use.
func (m *Mount) held(open []*connection, shown map[uint32]slot) map[pir.PID]bool {
	held := map[pir.PID]bool{}
	for _, c := range open {
		if !c.files.ownOpens() {
			c.files.held(func(n uint32) {
				if s, ok := shown[n]; ok {
					held[s.pid] = true
				}
			})
			continue
		}
		for _, s := range c.used(shown) {
			if root, err := m.core.store.CID(s.pid); err != nil || root != s.cid {
				continue // the package is gone, or has another content now
			}
			held[s.pid] = true
			m.look(c, s.pid.String())
		}
	}
	return held
}

// connections returns those that are served now, and whether guests are among them.
func (m *Mount) connections() (open []*connection, guests bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, s := range m.open {
		open = append(open, c)
		guests = guests || s.hello.Guest
	}
	return open, guests
}

// used returns the slots of shown of which the kernel needs anything, and all of them if it does not say so in time.
func (c *connection) used(shown map[uint32]slot) []slot {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	answer := make(chan []slot, 1)
	go func() {
		var used []slot
		for n, s := range shown {
			if ctx.Err() != nil {
				return
			}
			if c.uses(n, s.pid) {
				used = append(used, s)
			}
		}
		answer <- used
	}()
	select {
	case used := <-answer:
		return used
	case <-ctx.Done():
		return slices.Collect(maps.Values(shown))
	}
}

// uses reports whether the kernel needs anything of a slot: a file is open or mapped, or a folder is a current directory.
//
// Linux does not say so of files that it opens on its own. So uses has the kernel forget the package's name. The kernel then drops what is not needed below the name, and drops
// the root of the tree if nothing is left. If it has kept the root, somebody must look up the name, so that the root has its name again, and can be asked about again.
func (c *connection) uses(number uint32, p pir.PID) bool {
	root := uint64(number) << 32
	if errors.Is(c.invalidate(root), unix.ENOENT) {
		return false
	}
	return c.forget(p.String()) != nil || !errors.Is(c.invalidate(root), unix.ENOENT)
}
