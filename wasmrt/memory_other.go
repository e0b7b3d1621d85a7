//go:build !unix

package wasmrt

// region is an ordinary slice on this system: growing it copies.
type region struct{ all []byte }

func (r *region) empty() bool { return r.all == nil }

func (r *region) resize(size, most uint64) []byte {
	if size > uint64(cap(r.all)) || r.all == nil {
		grown := make([]byte, size, min(max(size, 2*uint64(cap(r.all)), 1), max(most, 1)))
		copy(grown, r.all)
		r.all = grown
	}
	r.all = r.all[:size]
	return r.all
}

func (r *region) free() { r.all = nil }
