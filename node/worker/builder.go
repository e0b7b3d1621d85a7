package worker

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/wasmrt"
)

// Arg is the argument that makes the daemon's program a worker process, which calls Run.
const Arg = "build-worker"

// The limits of a build. They end builds that have gone wrong; they do not ration.
const (
	maxBuildMemory   = 12 << 30
	maxBuildTime     = 12 * time.Hour
	maxScratchFiles  = 2_000_000
	maxScratchBytes  = 128 << 30
	maxScratchFile   = 32 << 30
	maxBuildOutput   = 1 << 30
	maxProgramMemory = 4 << 30
	// maxProgramsMemory is less than maxBuildMemory: a program that gets no memory can go on, a worker that gets none is ended.
	maxProgramsMemory = 11 << 30
)

// Store is the set of store operations that a Builder needs, which only reads the trees that builds are made from.
type Store interface {
	Lookup(ctx context.Context, root cid.CID, path string) (cas.Entry, error)
	Folder(ctx context.Context, c cid.CID) iter.Seq2[cas.Entry, error]
	OpenFile(ctx context.Context, c cid.CID) (*os.File, error)
	Blobs
}

// A Builder runs builds in worker processes. All fields but Users must be set.
type Builder struct {
	Store   Store
	Blobs   string // folder of the store that workers may read
	Machine *machine.Cache
	Slots   realize.Slots
	Partial func() bool // whether builds that others described may run where a wall is missing
	Users   wasmrt.Users
	Results string // folder of what programs of builds did, see results.go; "" keeps none
	Log     *slog.Logger
	Natives // the zero value refuses native builds
}

// scratchName is the folder of a build that shows the machine code cache to its worker.
const scratchName = "code"

// A workerJob is the first message to a worker: all that it needs to run one build.
type workerJob struct {
	PIR         string       `json:"pir"`
	Trees       []workerTree `json:"trees"`
	Path        []string     `json:"path"`
	Dir         string       `json:"dir"`          // holds build, out and tmp
	MachineCode string       `json:"machine_code"` // the cache, which it only reads
	Jobs        int          `json:"jobs"`
	Native      bool         `json:"native,omitempty"`
	Results     string       `json:"results,omitempty"` // what programs did in earlier builds, which it only reads
	// Unpack replaces the build: the worker unpacks an archive.
	Unpack *unpackJob `json:"unpack,omitempty"`
}

type workerTree struct {
	Path string       `json:"path"`
	Root wasmrt.Entry `json:"root"`
}

// A workerReply is a message of a worker: output, a question for machine code, for a slot or about its inputs,
// a program to run natively, or that the job is done.
type workerReply struct {
	Output []byte     `json:"output,omitempty"`
	Want   *wantCode  `json:"want,omitempty"`
	Look   *wantTree  `json:"look,omitempty"`
	Slots  int        `json:"slots,omitempty"` // 1 asks for a slot, -1 gives one back
	Run    *runNative `json:"run,omitempty"`
	Stop   uint64     `json:"stop,omitempty"` // the program with this ID is to end
	Result *result    `json:"result,omitempty"`
	Done   bool       `json:"done,omitempty"`
	// Unpacked is the result of an unpackJob.
	Unpacked *archive.Result `json:"unpacked,omitempty"`
	Error    *protocol.Error `json:"error,omitempty"`
}

// reportPanic logs what a worker has written if it ended by a fault of its own.
func (b *Builder) reportPanic(job *realize.Job, said *firstBytes) {
	if text := said.text(); strings.HasPrefix(text, "panic: ") || strings.Contains(text, "\npanic: ") {
		b.Machine.Log.Error("a build worker has panicked", "pid", job.PID, "wrote", text)
	}
}

// Build implements realize.Builder.
func (b *Builder) Build(ctx context.Context, job *realize.Job) error {
	message, err := b.message(ctx, job)
	if err != nil {
		return err
	}
	results, err := b.results(job)
	if err != nil {
		return err
	}
	message.Results = results.folder()
	room, err := b.newRoom(ctx, job, message.Jobs)
	if err != nil {
		return err
	}
	defer room.report(job.Log)
	partial, user := job.Local || b.Partial(), b.Users.Next()
	said := &firstBytes{most: maxSaid}
	defer b.reportPanic(job, said)
	worker, err := wasmrt.Spawn(ctx, &wasmrt.WorkerCommand{
		Args:      []string{Arg},
		Stderr:    said,
		Limits:    wasmrt.WorkerLimits{Memory: maxBuildMemory, Wall: maxBuildTime},
		ReadOnly:  append([]string{b.Blobs, b.Machine.Dir}, results.readable()...),
		ReadWrite: []string{job.Dir},
		Partial:   partial,
		User:      user,
	})
	var walls *wasmrt.WallError
	if errors.As(err, &walls) {
		return protocol.Errorf(protocol.Denied, "another user described the build, and %w", err).
			WithHint("add the missing wall (see nuka doctor), fetch the package from a peer, or allow the build with confine: partial in config.nuon")
	}
	if err != nil {
		return err
	}
	asked := newAnswerer(b, worker, job, partial)
	asked.room, asked.results = room, results
	defer asked.wait()
	defer func() { job.CPU = worker.CPU() }()
	defer worker.Close() // this ends answers that the worker does not take
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := room.open(ctx, worker, user); err != nil {
		worker.Kill(err)
		return errors.Join(err, ctx.Err())
	}
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
		if err := asked.take(ctx, &reply); err != nil {
			worker.Kill(err)
			return ended(ctx, worker, err)
		}
		if reply.Done {
			if err := room.exceeded(); err != nil {
				return err
			}
			if reply.Error != nil {
				return reply.Error
			}
			return nil
		}
	}
}

// maxSaid bounds the bytes kept of a worker's standard error, on which the Go runtime reports a panic.
const maxSaid = 64 << 10

// firstBytes keeps the first bytes written to it. It is safe for concurrent use.
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

// ended explains why a worker ended.
// A worker that crashes closes its pipe before it ends: Close waits a moment, because its exit and its standard error say more than the end
// of the pipe.
func ended(ctx context.Context, worker *wasmrt.Worker, err error) error {
	waitErr := worker.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var limit *wasmrt.LimitError
	if errors.As(waitErr, &limit) {
		return protocol.Errorf(protocol.Exhausted, "the build was ended: %s", limit.What)
	}
	return protocol.Errorf(protocol.Failed, "the worker process ended: %w", errors.Join(waitErr, err))
}

// message makes the folders of the worker, and returns the first message to it.
func (b *Builder) message(ctx context.Context, job *realize.Job) (*workerJob, error) {
	for _, dir := range []string{b.Machine.Dir, filepath.Join(job.Dir, scratchName)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	w := &workerJob{PIR: string(job.Canonical), Native: job.PIR.Kind == pir.Native, Dir: job.Dir, MachineCode: b.Machine.Dir, Jobs: cap(b.Slots)}
	if job.Cores > 0 {
		w.Jobs = min(w.Jobs, job.Cores)
	}
	for _, in := range job.Inputs {
		root, err := b.Store.Lookup(ctx, in.CID, "")
		if err != nil {
			return nil, cas.Coded(err)
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
