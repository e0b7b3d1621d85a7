package wasmrt

import (
	"context"
	"slices"
)

// Modules of files that programs can write are freed some time after their last program: a build makes many that run once. Those of the inputs stay.
const (
	maxUnused      = 16
	maxUnusedBytes = 32 << 20
)

// load returns a module that stays until the Runtime is closed. With later, a pure program is compiled when it first runs.
func (r *Runtime) load(ctx context.Context, key moduleKey, code []byte, file string, later bool) (*Module, error) {
	for {
		m, err := r.find(ctx, key, code, file, later)
		if err != nil {
			return nil, err
		}
		if r.hold(m, func() { m.stays = true }) {
			return m, nil
		}
	}
}

// borrow returns a module that may be freed when its last user has called release.
func (r *Runtime) borrow(ctx context.Context, key moduleKey, code []byte, later bool) (m *Module, release func(), err error) {
	for {
		m, err := r.find(ctx, key, code, "", later)
		if err != nil {
			return nil, nil, err
		}
		if r.hold(m, func() { m.users++ }) {
			return m, func() { r.giveBack(m) }, nil
		}
	}
}

// hold calls fn, which makes a module stay, with the lock of the Runtime. It returns false if the module has been freed.
func (r *Runtime) hold(m *Module, fn func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.modules[m.key]; l == nil || l.mod != m {
		return r.closed // then the caller finds out
	}
	fn()
	r.unused = slices.DeleteFunc(r.unused, func(u *Module) bool { return u == m })
	return true
}

// giveBack ends one use of a module, and frees those that were not used for the longest time.
func (r *Runtime) giveBack(m *Module) {
	r.mu.Lock()
	var free []*Module
	if m.users--; m.users == 0 && !m.stays && !r.closed {
		r.unused = append(r.unused, m)
		bytes := 0
		for _, u := range r.unused {
			bytes += len(u.code)
		}
		for len(r.unused) > maxUnused || bytes > maxUnusedBytes && len(r.unused) > 0 {
			u := r.unused[0]
			r.unused = slices.Delete(r.unused, 0, 1)
			bytes -= len(u.code)
			delete(r.modules, u.key)
			free = append(free, u)
		}
	}
	r.mu.Unlock()
	for _, u := range free {
		u.mu.Lock()
		_ = u.plain.close(context.Background())
		_ = u.bounded.close(context.Background())
		u.plain, u.bounded = nil, nil
		u.mu.Unlock()
	}
}
