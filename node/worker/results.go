package worker

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/wasmrt"
)

// What programs did in a build is kept for later builds of a package of the same name, so that a compiler need not run again for a source that has not
// changed: wasmrt says which runs are the same. A worker reads the folder of its name, and only the node writes there. So a worker that was taken over can
// spoil later builds of the same name that users of the same kind describe, and no other.

const (
	// maxResult bounds one result, and maxResults those of one build, in bytes.
	maxResult, maxResults = 40 << 20, 512 << 20
	// sumSize is the length of the checksum that a file begins with: it may be damaged or cut.
	sumSize = 32
)

// A result is what a program did.
type result struct {
	Key    string `json:"key"`
	Record []byte `json:"record"`
}

// results keeps the results of one build. Nil keeps none.
type results struct {
	dir   string
	bytes int
	warn  func(error)
}

// results returns where the results of a build are kept; nil is nowhere. A build that checks another one does all by itself.
func (b *Builder) results(job *realize.Job) (*results, error) {
	if b.Results == "" || job.Again || job.PIR.Kind == pir.Native {
		return nil, nil
	}
	of := blake3.Sum256(fmt.Appendf(nil, "%s %t", job.PIR.Name, job.Local))
	dir := filepath.Join(b.Results, hex.EncodeToString(of[:16]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return &results{dir: dir, warn: func(err error) {
		b.Log.Warn("the result of a program is not kept", "build", job.PIR.Name, "error", err)
	}}, nil
}

// folder returns where the results are, "" for nowhere, and readable the folders that the worker reads for it.
func (r *results) folder() string {
	if r == nil {
		return ""
	}
	return r.dir
}

func (r *results) readable() []string {
	if r == nil {
		return nil
	}
	return []string{r.dir}
}

// keep keeps a result. What no worker of ours sends is an error.
func (r *results) keep(q *result) error {
	key, err := hex.DecodeString(q.Key)
	if r == nil || err != nil || len(key) != 32 || len(q.Record) > maxResult {
		return fmt.Errorf("the worker sends a result with key %.80q and %d bytes", q.Key, len(q.Record))
	}
	if r.bytes += len(q.Record); r.bytes > maxResults {
		return nil
	}
	sum := blake3.Sum256(q.Record)
	at := filepath.Join(r.dir, hex.EncodeToString(key))
	if err := atomicfile.Replace(at, append(sum[:], q.Record...)); err != nil {
		r.warn(err)
		return nil
	}
	if err := os.Chmod(at, 0o644); err != nil { // workers may have a user of their own
		r.warn(err)
	}
	return nil
}

// memo implements wasmrt.Memo in a worker.
type memo struct {
	dir  string
	conn *wasmrt.Conn
}

func (m *memo) Recall(key [32]byte) []byte {
	b, err := os.ReadFile(filepath.Join(m.dir, hex.EncodeToString(key[:])))
	if err != nil || len(b) < sumSize {
		return nil
	}
	if sum := blake3.Sum256(b[sumSize:]); string(sum[:]) != string(b[:sumSize]) {
		return nil
	}
	return b[sumSize:]
}

func (m *memo) Remember(key [32]byte, record []byte) {
	if len(record) <= maxResult {
		_ = m.conn.SendValue(workerReply{Result: &result{Key: hex.EncodeToString(key[:]), Record: record}}) // the node is gone: the build will end
	}
}
