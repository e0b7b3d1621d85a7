package node

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/wasmrt"
)

// WorkerArg is the argument that makes the daemon's program a worker process: see RunWorker.
const WorkerArg = "build-worker"

// The limits of a build. They are there to end what has gone wrong, not to ration.
const (
	maxBuildMemory   = 12 << 30
	maxBuildTime     = 12 * time.Hour
	maxScratchFiles  = 2_000_000
	maxScratchBytes  = 128 << 30
	maxScratchFile   = 32 << 30
	maxBuildOutput   = 1 << 30
	maxProgramMemory = 4 << 30
)

// inputs is the set of store operations that a builder needs, which only reads the trees that builds are made from.
type inputs interface {
	Lookup(ctx context.Context, root cid.CID, path string) (cas.Entry, error)
	folders
}

// builder runs builds in worker processes.
type builder struct {
	store   inputs
	blobs   string // folder of the store that workers may read
	machine *machine.Cache
	slots   realize.Slots
	partial func() bool // whether builds of others' may run where a wall is missing
}

// scratchName is the folder of a build for what shows the machine code cache to its worker.
const scratchName = "code"

// A workerJob is the first message to a worker: all it needs to run one build.
type workerJob struct {
	PIR         string       `json:"pir"`
	Trees       []workerTree `json:"trees"`
	Path        []string     `json:"path"`
	Dir         string       `json:"dir"`          // holds build, out and tmp
	MachineCode string       `json:"machine_code"` // the cache, which it only reads
	Jobs        int          `json:"jobs"`
	// Unpack is another job, instead of a build.
	Unpack *unpackJob `json:"unpack,omitempty"`
}

type workerTree struct {
	Path string       `json:"path"`
	Root wasmrt.Entry `json:"root"`
}

// A workerReply is a message of a worker: output, a question for machine code, a slot or what its inputs hold, or its end.
type workerReply struct {
	Output []byte    `json:"output,omitempty"`
	Want   *wantCode `json:"want,omitempty"`
	Look   *wantTree `json:"look,omitempty"`
	Slots  int       `json:"slots,omitempty"` // 1 asks for a slot, -1 gives one back
	Done   bool      `json:"done,omitempty"`
	// Unpacked is what an unpackJob gave.
	Unpacked *archive.Result `json:"unpacked,omitempty"`
	Error    *protocol.Error `json:"error,omitempty"`
}

// Build implements realize.Builder.
func (b *builder) Build(ctx context.Context, job *realize.Job) error {
	message, err := b.message(ctx, job)
	if err != nil {
		return err
	}
	for _, dir := range []string{b.machine.Dir, filepath.Join(job.Dir, scratchName)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	partial := job.Local || b.partial()
	said := &firstBytes{most: maxSaid}
	defer func() {
		if text := said.text(); strings.HasPrefix(text, "panic: ") || strings.Contains(text, "\npanic: ") {
			b.machine.Log.Error("a build worker has panicked", "pid", job.PID, "wrote", text)
		}
	}()
	worker, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Args:      []string{WorkerArg},
		Stderr:    said,
		Limits:    wasmrt.WorkerLimits{Memory: maxBuildMemory, Wall: maxBuildTime},
		ReadOnly:  []string{b.blobs, b.machine.Dir},
		ReadWrite: []string{job.Dir},
		Partial:   partial,
	})
	var walls *wasmrt.WallError
	if errors.As(err, &walls) {
		return protocol.Errorf(protocol.Denied, "another user described it, and %v", err).
			WithHint("add the missing wall (see nuka doctor), fetch the package from a peer, or allow the build with confine: partial in config.nuon")
	}
	if err != nil {
		return err
	}
	asked := newAnswerer(b, worker, job, partial)
	defer asked.wait()
	defer worker.Close() // an answer that nobody takes ends then
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := worker.SendValue(message); err != nil {
		worker.Kill(err)
		return ended(ctx, worker, err)
	}
	for {
		var reply workerReply
		if err := worker.RecvValue(&reply); err != nil {
			if !errors.Is(err, io.EOF) {
				worker.Kill(err)
			}
			return ended(ctx, worker, err)
		}
		if _, err := job.Log.Write(reply.Output); err != nil {
			worker.Kill(err)
			return err
		}
		if reply.Want != nil {
			if err := asked.answer(ctx, reply.Want); err != nil {
				worker.Kill(err)
				return ended(ctx, worker, err)
			}
		}
		if reply.Look != nil {
			if err := asked.trees.answer(ctx, reply.Look); err != nil {
				worker.Kill(err)
				return ended(ctx, worker, err)
			}
		}
		if reply.Slots != 0 {
			if err := asked.slot(ctx, reply.Slots); err != nil {
				worker.Kill(err)
				return ended(ctx, worker, err)
			}
		}
		if reply.Done {
			if reply.Error != nil {
				return reply.Error
			}
			return nil
		}
	}
}

// maxSaid is how much is kept of what a worker writes to its standard error, which is the Go runtime's last words.
const maxSaid = 64 << 10

// firstBytes keeps the first bytes that are written to it. It is safe for concurrent use.
type firstBytes struct {
	most int
	mu   sync.Mutex
	b    []byte
}

func (f *firstBytes) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.b = append(f.b, p[:min(len(p), f.most-len(f.b))]...)
	return len(p), nil
}

func (f *firstBytes) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.b)
}

// ended explains why a worker is gone.
// One that crashes closes its side first: it has a moment to end, since its last words say more than the end of a pipe.
func ended(ctx context.Context, worker *wasmrt.Worker, err error) error {
	waitErr := worker.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var limit *wasmrt.LimitError
	if errors.As(waitErr, &limit) {
		return protocol.Errorf(protocol.Exhausted, "the build was ended: %s", limit.What)
	}
	return protocol.Errorf(protocol.Failed, "the worker process ended: %v", errors.Join(waitErr, err))
}

// message returns the first message to the worker.
func (b *builder) message(ctx context.Context, job *realize.Job) (*workerJob, error) {
	w := &workerJob{PIR: string(job.Canonical), Dir: job.Dir, MachineCode: b.machine.Dir, Jobs: cap(b.slots)}
	if job.Cores > 0 {
		w.Jobs = min(w.Jobs, job.Cores)
	}
	for _, in := range job.Inputs {
		root, err := b.store.Lookup(ctx, in.CID, "")
		if err != nil {
			return nil, storeErr(err)
		}
		w.Trees = append(w.Trees, workerTree{Path: in.Path, Root: treeEntry(root)})
	}
	// Programs are looked up in the packages the build names, by name, so that the order means nothing.
	names := make([]string, 0, len(job.PIR.Packages))
	for name := range job.PIR.Packages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w.Path = append(w.Path, realize.StorePath+"/"+job.PIR.Packages[name].String()+"/bin")
	}
	return w, nil
}
