package realize

import (
	"context"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// Store is the set of content store operations that a Realizer needs. *cas.Store implements it and documents what each operation promises.
type Store interface {
	Trees
	Contents
	Records
	Bindings
	Statements
	Leases
}

// Leases is the set of operations that keep what a request uses from collection.
type Leases interface {
	Lease(what string) *cas.Lease
	Use(ctx context.Context, at time.Time, pids ...pir.PID) error
}

// Trees is the set of operations that looking into a tree needs.
type Trees interface {
	Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error]
	OpenFile(ctx context.Context, c cid.CID) (*os.File, error)
}

// Contents is the set of operations that import content into the store and check that the store has it.
type Contents interface {
	Has(c cid.CID) (bool, error)
	Missing(ctx context.Context, root cid.CID) ([]cas.Entry, error)
	Import(ctx context.Context, fsys fs.FS, o *cas.ImportOptions) (cid.CID, error)
	Compose(ctx context.Context, pieces []cas.Piece, o *cas.ComposeOptions) (cid.CID, error)
	ScanRefs(ctx context.Context, root cid.CID, candidates []pir.PID) ([]pir.PID, error)
}

// Records is the set of operations on PIRs.
type Records interface {
	PIR(p pir.PID) (canonical, origins []byte, err error)
	PutPIR(ctx context.Context, p pir.PID, canonical, origins []byte) error
}

// Bindings is the set of operations on the bindings of PIDs, and on the roots that keep their content.
type Bindings interface {
	Bind(ctx context.Context, a protocol.Attestation) error
	CID(p pir.PID) (cid.CID, error)
	PIDs(c cid.CID) iter.Seq2[pir.PID, error]
	Bindings() iter.Seq2[cas.Binding, error]
	Roots() iter.Seq2[cas.Root, error]
}

// Statements is the set of operations on attestations of other signers.
type Statements interface {
	Attestations(p pir.PID) iter.Seq2[protocol.Attestation, error]
	PutAttestations(ctx context.Context, list ...protocol.Attestation) error
}
