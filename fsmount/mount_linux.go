package fsmount

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// greeting is the time that a holder has for its hello.
const greeting = 10 * time.Second

// A Mount serves a store at a path, and the mounts of guests. Methods may be called from many goroutines.
type Mount struct {
	o    Options
	core *core

	mu      sync.Mutex
	changed chan struct{}          // closed when a connection begins, or the holder fails; then another
	open    map[*connection]served // that are served now
	problem error                  // why the last holder failed
	ending  bool
	coming  map[int]chan struct{} // holders that were started and have not come, by process; closed when the process has ended
	serving sync.WaitGroup
}

// served is the holder of a connection.
type served struct {
	door    *door
	hello   hello
	replies chan string // what the holder says
}

// New makes a Mount. Nothing is mounted before Run. An error says that the machine has no FUSE, or that a file cannot be used.
func New(o *Options) (*Mount, error) {
	m := &Mount{o: *o, open: map[*connection]served{}, coming: map[int]chan struct{}{}, changed: make(chan struct{})}
	m.o.Device = cmp.Or(o.Device, Device)
	m.o.Budget = cmp.Or(o.Budget, defaultBudget)
	if m.o.Log == nil {
		m.o.Log = slog.New(slog.DiscardHandler)
	}
	if _, err := os.Stat(m.o.Device); err != nil {
		return nil, fmt.Errorf("this machine has no FUSE: %w", err)
	}
	s, err := openSlots(o.Slots)
	if err != nil {
		return nil, err
	}
	m.core = &core{
		store: o.Store, slots: s, trees: newTreeCache(o.Store, m.o.Budget), fetch: o.Fetch, realize: o.Realize, log: m.o.Log,
		failed: map[pir.PID]time.Time{}, complained: map[cid.CID]bool{},
	}
	return m, nil
}

// Run mounts, and serves until ctx ends. Then it unmounts if no file is open and no process is in the mount. Otherwise the holder keeps the mount
// for another daemon: calls wait, and files that the kernel reads itself can be read on. Run returns when everything that it started has ended.
func (m *Mount) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.core.ctx = work
	defer func() {
		stop()
		m.core.busy.Wait()
		if err := m.core.slots.close(); err != nil {
			m.o.Log.Error("mount", "error", err)
		}
	}()
	l, err := listenDoor(m.o.Run)
	if err != nil {
		return fmt.Errorf("listen for holders: %w", err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() { m.accept(l) })
	m.startHolder(HolderJob{})
	<-ctx.Done()
	m.end()
	l.Close() //nolint:errcheck // a socket
	accepting.Wait()
	m.serving.Wait()
	return nil
}

// failed records why there is no mount.
func (m *Mount) failed(err error) {
	m.o.Log.Error("mount", "error", err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.problem = err
	m.wake()
}

// wake tells those that wait for a change. The caller has locked.
func (m *Mount) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// accept serves holders until the listener is closed.
func (m *Mount) accept(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		m.serving.Go(func() {
			d, err := newDoor(conn)
			if err == nil {
				if err = m.serve(d); err != nil {
					d.close()
				}
			}
			if err != nil {
				m.o.Log.Error("mount: a holder", "error", err)
			}
		})
	}
}

// serve takes a connection from a holder and serves it until it ends.
func (m *Mount) serve(d *door) error {
	d.deadline(greeting)
	text, oob, err := d.receive()
	var device int
	if err == nil {
		device, err = onlyFD(oob)
	}
	if err != nil {
		return err
	}
	var h hello
	if err := errors.Join(checkDevice(device), json.Unmarshal(text, &h)); err != nil {
		return errors.Join(err, syscall.Close(device))
	}
	if h.Version == 1 && (filepath.Base(h.ID) != h.ID || h.ID == "." || h.ID == "..") {
		return errors.Join(fmt.Errorf("the holder's name of its connection is %.40q, which is no file name", h.ID), syscall.Close(device))
	}
	if h.Version != 1 {
		return errors.Join(fmt.Errorf("the holder speaks version %d of the protocol, this daemon 1: unmount %s", h.Version, m.o.Path), syscall.Close(device))
	}
	d.noDeadline()
	m.came(d.process)
	if m.rejoin(d, h.ID) {
		return syscall.Close(device)
	}
	owner := fuse.Owner{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}
	c, err := connect(m.core, device, h.ID, m.o.Run, owner, m.o.Disk, h.Init)
	if err != nil {
		return errors.Join(err, syscall.Close(device))
	}
	if m.o.NoPassthrough {
		c.files.passthrough = false
	}
	c.fs.look = func(path string) { m.look(c, path) }
	m.mu.Lock()
	if m.ending { // end does not know of this one
		m.mu.Unlock()
		_ = d.send([]byte(msgStop), -1)
		d.deadline(greeting)
		_, _, _ = d.receive() // it has unmounted
		d.close()
		return c.close()
	}
	m.open[c] = served{d, h, make(chan string, 1)}
	if !h.Guest {
		m.problem = nil
	}
	m.wake()
	m.mu.Unlock()
	_ = d.send([]byte(msgServing), -1)
	m.serving.Go(func() { m.watch(c, d) })
	c.serve()
	m.mu.Lock()
	last := m.open[c].door
	delete(m.open, c)
	m.wake()
	m.mu.Unlock()
	last.close()
	return c.close()
}

// look has the holder of a connection look at a path in the mount: a daemon must not.
func (m *Mount) look(c *connection, path string) {
	m.mu.Lock()
	s, ok := m.open[c]
	m.mu.Unlock()
	if ok {
		_ = s.door.send([]byte(msgLook+path), -1)
	}
}

// end asks the holder to unmount. If something in the mount is in use, end leaves the mount to the holder.
func (m *Mount) end() {
	m.mu.Lock()
	m.ending = true
	open := maps.Clone(m.open)
	m.mu.Unlock()
	for c, s := range open {
		if s.hello.Guest || !m.unmount(c, &s) {
			c.leave(s.reach(m.o.Path))
		}
		s.door.close()
	}
	m.endComing()
}

// Changed has the kernel look up packages again, and list them again: they are new, are no longer in the store, or have another content.
// Without it, look-ups find a new package at once, and a listing shows it a second later.
// It may wait until running look-ups of packages have ended.
func (m *Mount) Changed(list ...pir.PID) error {
	open, _ := m.connections()
	var errs []error
	gone := func(n uint32) bool {
		s, _ := m.core.slots.at(n)
		return slices.Contains(list, s.pid)
	}
	for _, c := range open {
		c.files.forget(gone)
		errs = append(errs, c.changed())
	}
	for _, id := range list {
		for _, c := range open {
			errs = append(errs, c.forget(id.String()))
		}
	}
	return errors.Join(errs...)
}

// State returns how the home's mount works now.
func (m *Mount) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	for c, s := range m.open {
		if s.hello.Guest {
			continue
		}
		c.files.mu.Lock()
		through := c.files.passthrough
		c.files.mu.Unlock()
		st := State{Mounted: true, How: s.hello.How, Passthrough: through}
		if !through {
			st.Problem = "the kernel does not read files itself (FUSE passthrough needs root and Linux 6.9), so large files are read more slowly"
		}
		return st
	}
	if m.problem != nil {
		return State{Problem: m.problem.Error()}
	}
	return State{Problem: "not mounted yet"}
}

// Wait waits until the home's mount is served. The error says why it is not.
func (m *Mount) Wait(ctx context.Context) error {
	for {
		m.mu.Lock()
		changed, problem, served := m.changed, m.problem, false
		for _, s := range m.open {
			served = served || !s.hello.Guest
		}
		m.mu.Unlock()
		if served || problem != nil {
			return problem
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
