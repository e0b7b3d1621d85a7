package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/config"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/node/machine"
	"github.com/MordragT/nuka/node/mesh"
	"github.com/MordragT/nuka/node/metrics"
	"github.com/MordragT/nuka/node/published"
	"github.com/MordragT/nuka/node/realize"
	"github.com/MordragT/nuka/node/sharing"
	"github.com/MordragT/nuka/node/swarms"
	"github.com/MordragT/nuka/node/tidy"
	"github.com/MordragT/nuka/node/trust"
	"github.com/MordragT/nuka/node/watch"
	"github.com/MordragT/nuka/node/worker"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/wasmrt"
)

// Options configures Run. Home must be set.
type Options struct {
	Home protocol.Home
	// Version is shown in the status.
	Version string
	// UserHome is the user's home folder, for the configuration of package managers; "" reads none.
	UserHome string
	// Getenv reads the environment, for the same; nil reads none.
	Getenv func(string) string
	// Apart runs each swarm in a process of its own, as Config.Apart does.
	Apart bool
	// Idle is the time without calls after which the daemon ends; 0 is never.
	Idle time.Duration
	// Wait is the longest time that Run waits for another daemon of the home that is ending; 0 does not wait.
	Wait time.Duration
	// Watch looks at the feeds of advisories once, and tells what is new; nil: the daemon does not.
	Watch func(ctx context.Context) error
	// Ready is called when the daemon answers; nil is not called.
	Ready func()
	// Log is for operators; nil discards.
	Log *slog.Logger
}

// grace is the time that running calls have to end after the daemon is asked to stop.
const grace = 10 * time.Minute

// Run is a daemon: it answers until ctx ends or a light peer asks it to stop,
// and returns when all calls and everything that it started have ended.
func Run(ctx context.Context, o *Options) error {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := makeHome(&o.Home); err != nil {
		return err
	}
	h := &handler{log: log, damaged: make(chan struct{}, 1), callEnded: make(chan struct{}, 1)}
	var err error
	if h.config, err = config.Open(o.Home.Config()); err != nil {
		return err
	}
	store, err := openStore(ctx, o, h.config.Get(), h.stored)
	if err != nil {
		return err
	}
	defer store.Close()
	if err := h.openHome(o, log); err != nil {
		return err
	}
	enrolled, err := control.OpenEnrolled(o.Home.Enrolled())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	figures, served, err := metrics.Serve(ctx, h.config.Get().Metrics, log)
	if err != nil {
		return err
	}
	defer func() {
		stop()
		<-served
	}()
	h.store, h.stop = store, stop
	h.surface = newSurface(h)
	h.mount = h.surface.ofCollection()
	h.swarms = swarms.New(&swarms.Options{
		Dir: o.Home.Swarm(), Store: store, Key: h.private, Config: h.config, Policy: h.policy, Heads: h.heads, Published: h.publishedHeads, Meshes: h.meshes, Log: log,
		Metrics: figures, Apart: o.Apart,
	})
	h.heads.Newer, h.publishedHeads.Newer = h.swarms.Hint, h.swarms.Hint
	h.meshes.Changed = func(name string) { h.swarms.Wake(); h.swarms.Renew(name) }
	if h.realizer, err = openRealizer(o, h); err != nil {
		return err
	}
	if h.sharing, err = sharing.Open(ctx, store, h.config.Get, h.realizer.Refs); err != nil {
		return err
	}
	h.swarms.Sharing = h.sharing
	// The mount answers until all calls have ended, since their programs may run from it.
	showing, hide := context.WithCancel(context.WithoutCancel(ctx))
	var shown sync.WaitGroup
	defer func() {
		hide()
		shown.Wait()
	}()
	shown.Go(func() { h.surface.run(showing) })
	var beside sync.WaitGroup
	defer func() {
		stop()
		beside.Wait()
	}()
	beside.Go(func() { h.runBeside(ctx, o, log) })
	return control.Serve(ctx, &control.ServerOptions{
		Dir:      o.Home.Run,
		Home:     o.Home.Data,
		Key:      h.private,
		Enrolled: enrolled,
		Listen:   h.config.Get().Control,
		Grants:   h.grants,
		Handler:  h,
		Everyone: o.Home.System != "",
		Ready:    o.Ready,
		Grace:    grace,
		Log:      log,
	})
}

// runBeside does what the daemon does between calls, until ctx ends.
func (h *handler) runBeside(ctx context.Context, o *Options, log *slog.Logger) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { h.watchIdle(ctx, o.Idle) })
	parts.Go(func() { h.swarms.Run(ctx) })
	parts.Go(func() { h.heal(ctx) })
	parts.Go(func() { h.watchSpace(ctx) })
	parts.Go(func() { h.scrub(ctx) })
	parts.Go(func() { watch.Run(ctx, h.home, h.config.Get().Watch, o.Watch, h.log) })
	parts.Go(func() { tidy.Run(ctx, o.Home, log) })
}

// makeHome makes the folders of a home. A user's home is for that user alone. In the home of a system daemon every user may reach what builds
// and programs read: blobs and machine code; the folders beside these are the daemon's.
func makeHome(home *protocol.Home) error {
	modes := map[string]os.FileMode{home.Data: 0o700, home.Run: 0o700, home.Cache: 0o700}
	if home.System != "" {
		store := home.Store()
		modes = map[string]os.FileMode{
			filepath.Join(home.System, "nuka"): 0o755, filepath.Dir(home.Config()): 0o755,
			home.Data: 0o755, home.Run: 0o755, home.Cache: 0o755, home.MachineCode(): 0o755, store: 0o755, filepath.Join(store, "blobs"): 0o755,
			filepath.Join(store, "index"): 0o700, filepath.Join(store, "meta"): 0o700, filepath.Join(store, "tmp"): 0o700,
			home.Swarm(): 0o700, home.Meshes(): 0o700, home.Users(): 0o700, filepath.Dir(home.NodeKey()): 0o700,
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(modes)) {
		err := os.MkdirAll(dir, modes[dir])
		if err == nil && home.System != "" { // whatever the umask is
			err = os.Chmod(dir, modes[dir])
		}
		if err != nil {
			return fmt.Errorf("home: %w", err)
		}
	}
	return nil
}

// openHome reads the keys, policy and meshes of a home.
func (h *handler) openHome(o *Options, log *slog.Logger) error {
	known, err := trust.OpenHeads(filepath.Join(o.Home.Swarm(), "heads"), log)
	if err != nil {
		return err
	}
	if h.publishedHeads, err = published.Open(filepath.Join(o.Home.Swarm(), "published"), log); err != nil {
		return err
	}
	key, err := trust.LoadKey(o.Home.NodeKey(), known)
	if err != nil {
		return err
	}
	grants, err := control.OpenGrants(o.Home.Grants())
	if err != nil {
		return err
	}
	policy, err := trust.OpenPolicy(o.Home.Policy())
	if err != nil {
		return err
	}
	members, err := mesh.Open(o.Home.Meshes(), key, log)
	if err != nil {
		return err
	}
	h.home, h.version, h.key, h.private, h.policy, h.grants = o.Home, o.Version, protocol.KeyOf(key), key, policy, grants
	h.heads, h.meshes, h.started = known, members, time.Now()
	return nil
}

// openRealizer returns a realizer that builds in workers, fetches by the user's configuration, and asks the peers of a node.
func openRealizer(o *Options, h *handler) (*realize.Realizer, error) {
	var users wasmrt.Users
	if o.Home.System != "" {
		users = wasmrt.BuildUsers
	}
	fetcher := source.Options{
		Client:  &source.Client{Home: o.UserHome, System: "/", Getenv: o.Getenv, Run: source.RunClient},
		Partial: o.Home.Downloads(),
		Unpack:  (&worker.Unpacker{Log: h.log, Users: users}).Unpack,
		Log:     h.log,
	}
	h.fetcher = source.New(&fetcher)
	offline := fetcher
	offline.Offline = true
	// Workers of earlier versions could write machine code there, so nothing executes it.
	if err := os.RemoveAll(o.Home.OldMachineCode()); err != nil {
		h.log.Warn("remove the old machine code", "error", err)
	}
	code := &machine.Cache{Dir: o.Home.MachineCode(), Engine: nu.EngineCode, Users: users, Log: h.log}
	slots := realize.NewSlots(cmp.Or(h.config.Get().Jobs, runtime.NumCPU()))
	realizer, err := realize.New(&realize.Options{
		Store: &shownStore{h.store, h.surface},
		Slots: slots,
		Builder: &worker.Builder{
			Slots: slots,
			Store: h.store, Blobs: filepath.Join(o.Home.Store(), "blobs"),
			Machine: code,
			Partial: func() bool { return h.config.Get().Partial },
			Users:   users,
			Results: o.Home.Results(),
			Log:     h.log,
			Natives: worker.Natives{Show: h.showInputs},
		},
		Fetcher: h.fetcher,
		Offline: source.New(&offline),
		Peers:   h.swarms,
		Policy:  h.policy.Get,
		Heads:   h.heads.Known,
		Key:     h.private,
		Dir:     o.Home.Work(),
		Log:     h.log,
	})
	if err != nil {
		return nil, err
	}
	code.Work = realizer.WorkDir()
	return realizer, nil
}

// openStore opens the store. If another daemon that is ending has it, openStore waits as Options.Wait says.
func openStore(ctx context.Context, o *Options, settings *config.Config, happened func(cas.Event)) (*cas.Store, error) {
	for deadline := time.Now().Add(o.Wait); ; {
		store, err := cas.Open(o.Home.Store(), &cas.Options{
			Log:   o.Log,
			Event: happened,
			Quota: settings.Store.Quota, Reserve: settings.Store.Reserve,
		})
		if !errors.Is(err, cas.ErrLocked) {
			return store, err
		}
		busy := protocol.Errorf(protocol.Busy, "%w", err)
		if !time.Now().Before(deadline) {
			return nil, busy
		}
		// A daemon that takes calls is not ending.
		if _, err := control.Process(ctx, o.Home.Run); !errors.Is(err, control.ErrNoDaemon) {
			return nil, busy
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
