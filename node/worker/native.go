package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
	"github.com/MordragT/nuka/wasmrt"
)

// The limits of native programs. Those of memory and time are the build's.
const (
	maxNativeProcesses = 4096
	maxNativePrograms  = 1_000_000
	// lookEvery is the shortest time between two looks at the size of the build's folder.
	lookEvery = 2 * time.Second
)

// Natives is what a Builder needs for native builds.
type Natives struct {
	// Show makes packages visible as folders of this machine, named by their PIDs, and returns the folder that holds them. They stay visible as long as
	// the node has them.
	Show func(ctx context.Context, packages []realize.Input) (dir string, err error)
	// Launcher returns the path of the launcher of sandboxes; nil is sandbox.FindLauncher.
	Launcher func() (string, error)
}

// A room is the sandbox of one native build. Each program gets name spaces of its own in it, so that none outlives its call.
// A nil room refuses programs.
type room struct {
	launcher string
	spec     sandbox.Spec // without the program
	dir      string       // the folder of the build
	most     int          // programs at the same time
	user     int
	registry *realize.Registry // answers the package manager; nil: the programs have no network at all

	maxOutput, maxFile, maxBytes int64
	maxFiles                     int64

	worker interface{ SendValue(any) error }
	output atomic.Int64
	limit  atomic.Pointer[wasmrt.LimitError]
	end    func(error) // ends the build

	mu      sync.Mutex
	total   int
	running map[uint64]context.CancelFunc
}

// newRoom returns the room of a job, or nil if its build is not native. It looks at no file that the build may write.
func (b *Builder) newRoom(ctx context.Context, job *realize.Job, jobs int) (*room, error) {
	if job.PIR.Kind != pir.Native {
		return nil, nil
	}
	find := b.Launcher
	if find == nil {
		find = sandbox.FindLauncher
	}
	launcher, err := find()
	if err != nil {
		return nil, roomError(err)
	}
	if b.Show == nil {
		return nil, protocol.Errorf(protocol.Unsupported, "this node shows no packages as folders, which a native build needs")
	}
	shown, err := b.Show(ctx, job.Inputs)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.EvalSymlinks(job.Dir)
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "tmp", filepath.Base(nu.HomeDir)), 0o700)
	}
	if err != nil {
		return nil, err
	}
	tree, err := foreign.BuildTree(filepath.Join(shown, job.PIR.Runtime.String()), b.listing(ctx, job))
	if err != nil {
		return nil, fmt.Errorf("the runtime: %w", err)
	}
	r := makeRoom(launcher, dir, roomMounts(tree, shown, dir, job.Inputs), jobs)
	if r.registry, err = b.registry(ctx, job); err != nil {
		return nil, err
	}
	r.connect()
	return r, nil
}

// roomMounts returns what the programs of a build see: the tree of the runtime, the inputs, and the folders of the build.
func roomMounts(tree []sandbox.Mount, shown, dir string, inputs []realize.Input) []sandbox.Mount {
	mounts := slices.Clone(tree)
	for _, in := range inputs {
		mounts = append(mounts, sandbox.Mount{Kind: sandbox.RO, Source: filepath.Join(shown, in.PID.String()), Target: in.Path})
	}
	for guest, sub := range map[string]string{nu.BuildDir: "build", nu.OutDir: "out", "/tmp": "tmp"} {
		mounts = append(mounts, sandbox.Mount{Kind: sandbox.RW, Source: filepath.Join(dir, sub), Target: guest})
	}
	return mounts
}

func makeRoom(launcher, dir string, mounts []sandbox.Mount, jobs int) *room {
	r := &room{
		launcher: launcher, dir: dir, most: max(1, jobs), running: map[uint64]context.CancelFunc{},
		maxOutput: maxBuildOutput, maxFile: maxScratchFile, maxBytes: maxScratchBytes, maxFiles: 3 * maxScratchFiles,
	}
	id, umask := foreign.BuildID, 0o022
	r.spec = sandbox.Spec{
		Mounts: mounts, Host: "nuka", UID: &id, GID: &id, Umask: &umask, Session: sandbox.SessionNew, Clock: fixedClock(),
		Limits: sandbox.Limits{Memory: maxBuildMemory, Processes: maxNativeProcesses},
	}
	return r
}

// listing lists the tree of the runtime from the store: the node never looks into its own mount.
func (b *Builder) listing(ctx context.Context, job *realize.Job) foreign.Listing {
	return func(rel string) ([]foreign.Entry, error) {
		for _, in := range job.Inputs {
			if in.PID != job.PIR.Runtime {
				continue
			}
			at, err := b.Store.Lookup(ctx, in.CID, rel)
			if errors.Is(err, cas.ErrNotFound) && rel != "" || err == nil && at.Kind != cas.Dir {
				return nil, nil
			}
			if err != nil {
				return nil, cas.Coded(err)
			}
			var out []foreign.Entry
			for e, err := range b.Store.Folder(ctx, at.CID) {
				if err != nil {
					return nil, cas.Coded(err)
				}
				out = append(out, foreign.Entry{Name: e.Path, Link: e.Kind == cas.Symlink, Target: e.Target})
			}
			return out, nil
		}
		return nil, protocol.Errorf(protocol.NotFound, "%s is not here", job.PIR.Runtime.Short())
	}
}

// open sets the room up once without a program, so that a machine that cannot make it refuses the build before it begins.
// If a program ends the build, end is called.
func (r *room) open(ctx context.Context, worker *wasmrt.Worker, user int) error {
	if r == nil {
		return nil
	}
	r.worker, r.user, r.end = worker, user, worker.Kill
	p, err := sandbox.Start(ctx, r.launcher, &r.spec, &sandbox.Options{User: user})
	if err == nil {
		_, err = p.Wait()
	}
	return roomError(err)
}

// roomError returns an error of the sandbox with the code and the hint that users see.
func roomError(err error) error {
	var forbidden *sandbox.ForbiddenError
	var setup *sandbox.SetupError
	if errors.As(err, &forbidden) || errors.As(err, &setup) {
		return protocol.Errorf(protocol.Unsupported, "a native build needs a sandbox: %w", err).WithHint("%s", sandbox.Hint(err))
	}
	return err
}

// exceeded returns the limit that the native programs of the build exceeded, or nil.
func (r *room) exceeded() error {
	if r == nil {
		return nil
	}
	r.look()
	if l := r.limit.Load(); l != nil {
		return protocol.Errorf(protocol.Exhausted, "the build was ended: %s", l.What)
	}
	return nil
}

// over ends the build because of a limit.
func (r *room) over(format string, args ...any) {
	l := &wasmrt.LimitError{What: fmt.Sprintf(format, args...)}
	if r.limit.CompareAndSwap(nil, l) {
		r.end(l)
	}
}

// take starts or stops a program. It does not wait for the program. A question that no worker of ours asks is an error: the worker then ends.
func (r *room) take(ctx context.Context, tasks *sync.WaitGroup, reply *workerReply) error {
	if r == nil {
		return errors.New("the worker asks for a native program in a build that has no runtime")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.running[reply.Stop]; cancel != nil {
		cancel()
	}
	q := reply.Run
	if q == nil {
		return nil
	}
	r.total++
	switch {
	case len(r.running) >= r.most || r.running[q.ID] != nil || r.total > maxNativePrograms:
		return fmt.Errorf("the worker asks for native program %d while %d of %d run", r.total, len(r.running), r.most)
	case len(q.Args) == 0 || len(q.Input) > maxInput:
		return errors.New("the worker asks for a native program that no build can name")
	}
	ctx, cancel := context.WithCancel(ctx)
	r.running[q.ID] = cancel
	tasks.Go(func() {
		end := r.run(ctx, q)
		end.ID, end.Done = q.ID, true
		cancel()
		r.mu.Lock()
		delete(r.running, q.ID)
		r.mu.Unlock()
		r.send(end)
	})
	return nil
}

func (r *room) send(have *ranNative) {
	if err := r.worker.SendValue(parentAnswer{Ran: have}); err != nil {
		r.end(err)
	}
}

// run runs a program to its end. When it returns, every process of the program has ended.
func (r *room) run(ctx context.Context, q *runNative) *ranNative {
	spec := r.spec
	spec.Argv, spec.Env, spec.Dir = q.Args, q.Env, q.Dir
	s, err := openStreams(q)
	if err != nil {
		return &ranNative{Error: protocol.AsError(err)}
	}
	options := &sandbox.Options{Stdin: s.inside[0], Stdout: s.inside[1], Stderr: s.inside[2], User: r.user}
	spec.Env = r.environ(spec.Env)
	disconnect := r.answer(ctx, options)
	defer disconnect()
	p, err := sandbox.Start(ctx, r.launcher, &spec, options)
	s.started()
	if err != nil {
		s.close()
		if sandbox.NoProgram(err) {
			return &ranNative{Missing: true}
		}
		return &ranNative{Error: protocol.Errorf(protocol.Failed, "%w", err)}
	}
	s.copy(q, r)
	watched := make(chan struct{})
	s.running.Go(func() { r.watch(watched) })
	status, err := p.Wait()
	close(watched)
	s.drain()
	switch {
	case ctx.Err() != nil:
		return &ranNative{Error: protocol.Errorf(protocol.Failed, "the program was stopped")}
	case err != nil:
		return &ranNative{Error: protocol.Errorf(protocol.Failed, "%w", err)}
	case status.Signal != 0:
		r.send(&ranNative{ID: q.ID, Stderr: fmt.Appendf(nil, "nuka: %s was ended by signal %d, %v\n", q.Args[0], int(status.Signal), status.Signal)})
	}
	return &ranNative{Exit: status.Code}
}

// watch ends the build if its folder gets too large, until done is closed. It spends a tenth of the time on looking.
func (r *room) watch(done chan struct{}) {
	wait := lookEvery
	for {
		select {
		case <-done:
			return
		case <-time.After(wait):
		}
		start := time.Now()
		r.look()
		wait = max(lookEvery, 10*time.Since(start))
	}
}

// look counts what is in the folder of the build. It follows no link. It does not see into a folder that this process may not read.
func (r *room) look() {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return
	}
	defer root.Close()
	var files, size int64
	_ = fs.WalkDir(root.FS(), ".", func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone, or may not be read
		}
		info, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		files++
		if info.Mode().IsRegular() {
			size += info.Size()
			if info.Size() > r.maxFile {
				r.over("a file larger than %d bytes", r.maxFile)
			}
		}
		return nil
	})
	if files > r.maxFiles {
		r.over("more than %d files", r.maxFiles)
	}
	if size > r.maxBytes {
		r.over("more than %d bytes of files", r.maxBytes)
	}
}
