package realize

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// Builder is the operation that a Realizer needs to run a build.
type Builder interface {
	// Build runs the closure of a job, which leaves its output in the job's folder.
	// When it returns, every process that it started has ended.
	Build(ctx context.Context, job *Job) error
}

// Fetcher is the operation that a Realizer needs to get fixed outputs.
type Fetcher interface {
	// Fetch leaves the output in the request's folder, checked against its hash, and returns the hash of its tree.
	Fetch(ctx context.Context, r *source.Request) (pir.Hash, error)
}

// A Job is one build.
type Job struct {
	PID       pir.PID
	PIR       *pir.PIR
	Canonical []byte
	// Inputs are the packages that the build sees, with their closures.
	Inputs []Input
	// Local means that the node's own user described this build; else another node or light peer did.
	Local bool
	// Recording is the content of the PIR's recording; zero: it has none.
	Recording cid.CID
	// Record answers the package manager of a build in place of the recording, and records. Its output is thrown away.
	Record *Registry
	// Again is a build that is compared with an earlier one: it uses no result of that.
	Again bool
	// Dir holds the empty folders build, out and tmp.
	Dir string
	// Log receives the output of the build.
	Log io.Writer
	// Cores is how many programs the build may run at once; 0 means as many as there are slots.
	Cores int
	// CPU is the processor time of the WebAssembly programs of the build. The Builder sets it.
	CPU time.Duration
	// The Builder calls Prepare when it compiles a program for this machine, which it does once, and calls the returned function when that has
	// ended.
	Prepare func(program string) (done func())
}

// An Input is content and the guest path at which a build or a program sees it.
type Input struct {
	Path string // in the guest
	PID  pir.PID
	CID  cid.CID
}

// StorePath is the guest folder that holds the packages, each under its PID.
const StorePath = "/nuka/store"

// Options configures a Realizer. Store, Builder, Fetcher, Key and Dir must be set.
type Options struct {
	Store   Store
	Builder Builder
	Fetcher Fetcher
	// Offline is the fetcher for requests that may not use the network; nil uses Fetcher.
	Offline Fetcher
	// Key signs attestations.
	Key ed25519.PrivateKey
	// Dir is a folder for work in progress and logs. Only the Realizer uses it.
	Dir string
	// Peers are other nodes; nil asks no peer.
	Peers Peers
	// Policy returns the policy, which decides whose attestations count beside the node's own; nil trusts no other signer.
	Policy func() *protocol.Policy
	// Heads returns the newest known heads of signers; nil knows none.
	Heads func() map[protocol.Key]*protocol.Head
	// Slots are the job slots, for builds and for the programs that the Builder runs in them; nil means one for each processor.
	Slots Slots
	// Fetches is how many fetches may run at once; 0 means 8.
	Fetches int
	// MaxReferences bounds the packages that one request's package refers to, directly and indirectly; 0 means 20,000.
	// Signers state the references of packages, so a hostile signer could state an endless chain.
	MaxReferences int
	// Now is the clock of attestations; nil is time.Now.
	Now func() time.Time
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// A Realizer turns PIDs into content. It is safe for use by several goroutines.
type Realizer struct {
	o       Options
	log     *slog.Logger
	locks   *locks
	fetches Slots
	running *running
}

// running has the names of the steps that run, for people.
type running struct {
	mu    sync.Mutex
	names map[pir.PID]string
}

// Under returns a Realizer that decides by another policy and shares everything else with r.
func (r *Realizer) Under(policy func() *protocol.Policy) *Realizer {
	u := *r
	u.o.Policy = policy
	return &u
}

// pass is the mode of folders through which a worker that runs as another user reaches its own.
const pass = 0o711

// New returns a Realizer. It removes the unfinished work of an earlier process from the Realizer's folder.
func New(o *Options) (*Realizer, error) {
	r := &Realizer{o: *o, log: o.Log, locks: &locks{}, running: &running{names: map[pir.PID]string{}}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.o.Slots == nil {
		r.o.Slots = NewSlots(runtime.GOMAXPROCS(0))
	}
	if r.o.Fetches == 0 {
		r.o.Fetches = 8
	}
	if r.o.MaxReferences == 0 {
		r.o.MaxReferences = 20_000
	}
	if r.o.Now == nil {
		r.o.Now = time.Now
	}
	if r.o.Offline == nil {
		r.o.Offline = r.o.Fetcher
	}
	r.fetches = NewSlots(r.o.Fetches)
	if err := removeAll(r.WorkDir()); err != nil {
		return nil, fmt.Errorf("clean up unfinished work: %w", err)
	}
	for dir, mode := range map[string]os.FileMode{r.o.Dir: pass, r.WorkDir(): pass, r.logDir(): 0o700} {
		err := os.MkdirAll(dir, mode)
		if err == nil {
			err = os.Chmod(dir, mode)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

// WorkDir returns the folder for unfinished work; New empties it.
func (r *Realizer) WorkDir() string { return filepath.Join(r.o.Dir, "work") }
func (r *Realizer) logDir() string  { return filepath.Join(r.o.Dir, "log") }

// LogPath returns the path of the log of id's last build.
func (r *Realizer) LogPath(id pir.PID) string { return filepath.Join(r.logDir(), id.String()) }

// Running returns the names of the steps that run now, for people.
func (r *Realizer) Running() []string {
	r.running.mu.Lock()
	defer r.running.mu.Unlock()
	names := make([]string, 0, len(r.running.names))
	for _, name := range r.running.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A Request asks for content.
type Request struct {
	Wanted   []pir.PID
	Packages []protocol.Package
	// Check repeats the wanted builds and compares their outputs with the store.
	Check bool
	// KeepFailed keeps the folder of a failed build and sends an event that names the folder.
	KeepFailed bool
	// Jobs is how many builds of this request may run at once, and Cores how many programs each build may run; 0 means no bound but the slots.
	Jobs, Cores int
	// Offline forbids the network.
	Offline bool
	// NoAsk makes a plan from local knowledge only, without asking peers.
	NoAsk bool
	// Local means that the request comes from the node's own user.
	Local bool
	// Registries is the user's client configuration, in place of the daemon's; nil takes the daemon's,
	// without its credentials if the request is not Local.
	Registries *source.Registries
	// Lease keeps what the request uses and makes from collection, until its owner releases it; nil: until the call returns.
	Lease *cas.Lease
	// Event receives the events of the request. Several goroutines may call it. It may be nil.
	Event func(protocol.Event)
}

// Realize makes the content of the wanted PIDs present.
// It stops at the first failure and keeps the content that is complete by then.
func (r *Realizer) Realize(ctx context.Context, req *Request) (*protocol.Realized, error) {
	req, release := r.leased(req)
	defer release()
	g, err := newGraph(r, req)
	if err != nil {
		return nil, err
	}
	// Every goroutine that this call starts ends before it returns.
	ctx, cancel := context.WithCancel(ctx)
	defer g.running.Wait()
	defer cancel()
	if _, err := g.plan(ctx); err != nil {
		return nil, err
	}
	results := make([]*task, len(req.Wanted))
	for i, id := range req.Wanted {
		results[i] = g.start(ctx, id)
	}
	out := &protocol.Realized{}
	for i, t := range results {
		if err := t.wait(ctx); err != nil {
			return nil, err
		}
		if err := g.refer(ctx, req.Wanted[i:i+1], pir.PID{}); err != nil {
			return nil, err
		}
		if req.Check {
			if err := g.check(ctx, req.Wanted[i], t); err != nil {
				return nil, err
			}
		}
		out.Outputs = append(out.Outputs, protocol.Output{
			PID: req.Wanted[i], CID: t.cid.String(), Name: t.name, Way: t.way, Size: t.size,
		})
	}
	out.Counts = g.counts()
	if err := r.o.Store.Use(ctx, r.o.Now(), g.used()...); err != nil {
		return nil, err
	}
	return out, nil
}

// leased returns the request with a lease.
func (r *Realizer) leased(req *Request) (with *Request, release func()) {
	if req.Lease != nil {
		return req, func() {}
	}
	own := *req
	own.Lease = r.o.Store.Lease("a request")
	return &own, own.Lease.Release
}

// Plan returns the plan by which Realize would make the content of the wanted PIDs present. It asks peers as Realize does, unless the
// request is Offline, and fetches and builds nothing.
func (r *Realizer) Plan(ctx context.Context, req *Request) (*protocol.Plan, error) {
	req, release := r.leased(req)
	defer release()
	g, err := newGraph(r, req)
	if err != nil {
		return nil, err
	}
	return g.plan(ctx)
}

// Closure returns the wanted PIDs and all PIDs that they refer to, directly and indirectly, each with its content and its guest path.
func (r *Realizer) Closure(ids ...pir.PID) ([]Input, error) {
	var inputs []Input
	seen := map[pir.PID]bool{}
	var visit func(id pir.PID) error
	visit = func(id pir.PID) error {
		if seen[id] {
			return nil
		}
		seen[id] = true
		content, err := r.o.Store.CID(id)
		if err != nil {
			return protocol.Errorf(protocol.NotFound, "%s: %w", id.Short(), err).WithHint("build it again: nuka build")
		}
		w, err := r.word(id)
		if err == nil && w.cid != content {
			err = protocol.Errorf(protocol.NotFound, "its stored content does not count any more").WithHint("fetch or build it again")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", id.Short(), err)
		}
		inputs = append(inputs, Input{Path: StorePath + "/" + id.String(), PID: id, CID: content})
		for _, ref := range w.refs {
			if err := visit(ref); err != nil {
				return fmt.Errorf("%s refers to %w", id.Short(), err)
			}
		}
		return nil
	}
	for _, id := range ids {
		if err := visit(id); err != nil {
			return nil, err
		}
	}
	return inputs, nil
}

// Refs returns the references of a PID's content, from the claim that counts.
func (r *Realizer) Refs(id pir.PID) ([]pir.PID, error) {
	w, err := r.word(id)
	if err != nil {
		return nil, fmt.Errorf("references of %s: %w", id.Short(), err)
	}
	return w.refs, nil
}

// present returns the content that id is bound to, if the store has it.
func (r *Realizer) present(id pir.PID) (cid.CID, bool, error) {
	content, err := r.o.Store.CID(id)
	if errors.Is(err, cas.ErrNotFound) {
		return cid.CID{}, false, nil
	}
	if err != nil {
		return cid.CID{}, false, err
	}
	ok, err := r.o.Store.Has(content)
	return content, ok, err
}

// bind signs an attestation that id has a content, and binds id to it. A nonzero via means that this node has not made the content of id itself.
func (r *Realizer) bind(ctx context.Context, id pir.PID, w word, via pir.PID) error {
	a := protocol.Attestation{PID: id, CID: w.cid, Refs: w.refs, Size: w.size, Issued: r.o.Now(), Via: via}
	if err := a.Sign(r.o.Key); err != nil {
		return err
	}
	if err := r.o.Store.Bind(ctx, a); err != nil {
		return err
	}
	if r.o.Peers != nil && via.IsZero() {
		r.o.Peers.Announce(id)
	}
	return nil
}

// removeAll removes a tree whose folders a program may have made unwritable.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, os.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}

// Import imports a file or folder of this machine into the store. It binds no PID to the content, which the lease keeps.
func (r *Realizer) Import(ctx context.Context, dir, name string, lease *cas.Lease) (cid.CID, error) {
	return r.take(ctx, filepath.Join(dir, name), nil, lease)
}

// take imports the file or folder at a path of this machine.
func (r *Realizer) take(ctx context.Context, at string, exec func(string, fs.FileInfo) bool, lease *cas.Lease) (cid.CID, error) {
	dir, file := at, ""
	info, err := os.Lstat(at)
	if err != nil {
		return cid.CID{}, protocol.Errorf(protocol.Failed, "no output: %w", err)
	}
	if !info.IsDir() {
		dir, file = filepath.Split(at)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return cid.CID{}, err
	}
	defer root.Close()
	content, err := r.o.Store.Import(ctx, root.FS(), &cas.ImportOptions{File: file, Exec: exec, Lease: lease})
	if err != nil {
		return cid.CID{}, fmt.Errorf("import: %w", err)
	}
	return content, nil
}
