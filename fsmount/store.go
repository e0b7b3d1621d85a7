package fsmount

import (
	"context"
	"iter"
	"os"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// Store is the set of content store operations that a mount needs. *cas.Store implements it and documents what each operation promises.
type Store interface {
	CID(p pir.PID) (cid.CID, error)
	Bindings() iter.Seq2[cas.Binding, error]
	Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error]
	OpenFile(ctx context.Context, c cid.CID) (*os.File, error)
}
