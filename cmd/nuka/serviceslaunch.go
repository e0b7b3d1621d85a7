package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
	"github.com/MordragT/nuka/service/supervise"
)

const (
	// placeWait is how long a launcher waits for the end of the one before it.
	placeWait = 2 * time.Minute
	// nodeWait is how long it waits for the node.
	nodeWait = time.Minute
)

// servicesExec is the launcher of a service that was applied: units start it. People do not call it.
func (a *app) servicesExec() *cobra.Command {
	c := &cobra.Command{Use: "exec NAME@GENERATION", Short: "keep a service running, for a service manager", Hidden: true, Args: exactArgs("NAME@GENERATION")}
	var o servicesOptions
	o.flags(c)
	eof := c.Flags().Bool("until-eof", false, "stop when standard input ends")
	c.RunE = func(c *cobra.Command, words []string) error {
		name, text, _ := strings.Cut(words[0], "@")
		number, err := strconv.Atoi(text)
		if err != nil || number < 1 {
			return protocol.Errorf(protocol.Invalid, "services exec: %.80q: want NAME@GENERATION", words[0])
		}
		dir, err := a.servicesDir(&o)
		if err != nil {
			return err
		}
		ctx := c.Context()
		if *eof {
			var end context.CancelFunc
			ctx, end = context.WithCancel(ctx)
			defer end()
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end as well
				end()
			}()
		}
		l := &launcher{a: a, dir: dir, name: name, tells: deploy.Running{Generation: number, Launcher: os.Getpid(), Began: time.Now()}}
		return l.run(ctx)
	}
	return c
}

// A launcher keeps one service running, and tells what it does.
type launcher struct {
	a    *app
	dir  *deploy.Dir
	name string

	mu    sync.Mutex // guards tells
	place *deploy.Place
	tells deploy.Running
}

func (l *launcher) run(ctx context.Context) (err error) {
	handed := append([]supervise.Handed{}, handedSockets()...) // before anything else is started, which might inherit them
	l.awaitFolder(ctx)
	l.place, err = l.dir.Place(ctx, l.name, placeWait, func() { l.a.say("waiting for the end of the %s before", l.name) })
	if err != nil {
		return err
	}
	defer l.place.Close()
	endLeftover(l.place.Before)
	l.tell(supervise.Waiting, "for the node")
	g, err := l.dir.Generation(l.tells.Generation)
	var s *service.Service
	if err == nil {
		if s = g.Service(l.name); s == nil {
			err = protocol.Errorf(protocol.NotFound, "generation %d has no service %.80q", g.Number, l.name)
		}
	}
	if err == nil && g.Manager == systemd {
		err = os.Setenv(scopeVariable, map[bool]string{true: "system", false: "user"}[g.System])
	}
	if err == nil {
		err = l.awaitNode(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			l.tell(supervise.Failed, protocol.AsError(err).Message)
		}
		return err
	}
	alone := *s
	alone.After, alone.Needs = nil, nil
	once(&alone)
	reload, stop := onReload()
	defer stop()
	l.a.yes = g.Yes
	r := &serviceRun{a: l.a, set: g.Set, base: l.dir.Base(), single: true, unready: map[string]bool{s.Name: true}, began: l.began, handed: handed, open: map[string][]*os.File{}}
	for lost := true; lost && err == nil; {
		lost, err = l.program(ctx, s, &alone, r, reload)
	}
	if ctx.Err() == nil && os.Getenv("NOTIFY_SOCKET") == "" && os.Getenv(service.OneRun) == "" {
		<-ctx.Done() // most managers start again what ends, and this service shall not be
	}
	if err != nil && ctx.Err() == nil {
		return protocol.Errorf(protocol.Failed, "%w", err)
	}
	return nil
}

// program waits for the services that s comes after, and keeps its program running: to the end, or until one of those that it needs has failed for good. Then lost is
// true, and the program is to run again when that one is ready again. Alone is s without other services.
func (l *launcher) program(ctx context.Context, s, alone *service.Service, r *serviceRun, reload <-chan struct{}) (lost bool, err error) {
	for _, name := range s.After {
		if err := l.awaitService(ctx, name); err != nil {
			return false, nil // it was stopped meanwhile
		}
	}
	live, end := context.WithCancelCause(ctx)
	defer end(nil)
	var watch sync.WaitGroup
	if len(s.Needs) > 0 {
		watch.Go(func() { l.watchNeeds(live, s.Needs, end) })
	}
	r.listener = func(e supervise.Event) { l.event(live, e) }
	err = supervise.Run(live, []*service.Service{alone}, r.options(reload))
	var need lostNeed
	lost = ctx.Err() == nil && errors.As(context.Cause(live), &need)
	end(nil)
	watch.Wait()
	return lost, err
}

// A lostNeed is the end of a program because a service that it needs has failed for good.
type lostNeed string

func (n lostNeed) Error() string { return fmt.Sprintf("for %s, which has failed", string(n)) }

// needLook is the time between two looks at what the services do that this one needs.
const needLook = 250 * time.Millisecond

// watchNeeds ends a program when one of some services has failed for good, and was not stopped by the user since.
func (l *launcher) watchNeeds(ctx context.Context, names []string, end context.CancelCauseFunc) {
	tick := time.NewTicker(needLook)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, name := range names {
			if r, err := l.dir.Running(name); err != nil || r.State != supervise.Failed {
				continue
			}
			if stopped, err := l.dir.Stopped(); err == nil && !slices.Contains(stopped, name) {
				end(lostNeed(name))
				return
			}
		}
	}
}

// tell writes what the launcher does. A full disk must not end the service.
func (l *launcher) tell(state supervise.State, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tells.State, l.tells.Text, l.tells.Since = state, text, time.Now()
	_ = l.place.Tell(l.tells)
}

// began notes the process of the program.
func (l *launcher) began(pid int) {
	l.mu.Lock()
	l.tells.Program, l.tells.Started = pid, processStarted(pid)
	if l.tells.Tried.IsZero() {
		l.tells.Tried = time.Now()
	}
	l.mu.Unlock()
	l.tell(supervise.Starting, "")
}

func (l *launcher) event(ctx context.Context, e supervise.Event) {
	text := printable(e.Text)
	if e.State == supervise.Ended && ctx.Err() != nil {
		e.State, text = deploy.Stopped, ""
		var need lostNeed
		if errors.As(context.Cause(ctx), &need) {
			e.State, text = supervise.Waiting, need.Error()
		}
	}
	l.mu.Lock()
	if e.State == supervise.Pausing {
		l.tells.Exit, _, _ = strings.Cut(text, "; it is started again")
		l.tells.Restarts++
	}
	if e.State == supervise.Pausing || e.State == supervise.Ended || e.State == supervise.Failed {
		l.tells.Program, l.tells.Started = 0, ""
	}
	l.mu.Unlock()
	l.tell(e.State, text)
}

// awaitFolder waits until the folder of services is there: at boot it may be mounted later than services start. It makes nothing in its place.
func (l *launcher) awaitFolder(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	for told := false; !l.dir.Has(l.tells.Generation) && limit.Err() == nil; told = true {
		if !told {
			l.a.say("waiting for %s", l.dir.Base())
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit.Done():
		}
	}
}

// awaitNode waits until the node answers: at boot it may come later than the services.
func (l *launcher) awaitNode(ctx context.Context) error {
	limit, cancel := context.WithTimeout(ctx, nodeWait)
	defer cancel()
	for told := false; ; told = true {
		client, err := l.a.connect(limit)
		if err == nil {
			return client.Close()
		}
		if !told {
			l.a.say("waiting for the node: %v", err)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-limit.Done():
			return err
		}
	}
}

// awaitService waits until another service is ready. It does not wait for one that the user has stopped.
func (l *launcher) awaitService(ctx context.Context, name string) error {
	l.tell(supervise.Waiting, "for "+name)
	patience := time.Now().Add(time.Minute)
	for told := false; ; {
		r, err := l.dir.Running(name)
		if err == nil && (r.Alive && (r.State == supervise.Ready || r.State == supervise.Sick) || r.State == supervise.Ended) {
			return nil
		}
		if stopped, err := l.dir.Stopped(); err == nil && slices.Contains(stopped, name) {
			l.a.say("%s needs %s, which is stopped; going on without it", l.name, name)
			return nil
		}
		if !told && time.Now().After(patience) {
			told = true
			l.a.say("%s still waits for %s, which is not ready: nuka services status", l.name, name)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const notRunning = "not running"

// whatItDoes says in a few words what a service does.
func whatItDoes(r deploy.Running) string {
	text := string(r.State)
	switch {
	case !r.Alive && r.State != supervise.Ended && r.State != supervise.Failed:
		return notRunning
	case r.Text != "" && r.State != supervise.Ready:
		text += ": " + r.Text
	}
	if r.Restarts > 0 {
		text += fmt.Sprintf(", %s", counted(r.Restarts, "restart"))
	}
	return text
}
