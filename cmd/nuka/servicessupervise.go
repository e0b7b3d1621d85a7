package main

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/MordragT/nuka/service"
	"github.com/MordragT/nuka/service/deploy"
	"github.com/MordragT/nuka/service/supervise"
)

// superviseServices keeps the services running that were applied for nuka's own supervisor.
func (a *app) superviseServices(ctx context.Context, dir *deploy.Dir, only []string) error {
	if len(only) > 0 {
		return usage("services run: --only chooses services of PKG")
	}
	var lines sync.Mutex
	s := &deploy.Supervisor{
		Dir: dir, Say: a.say,
		Out: func(name string) io.Writer { return &lineWriter{mu: &lines, to: a.err, prefix: name + " | "} },
	}
	if dir.Interrupted() {
		a.say("the last change of services was interrupted; the next nuka services apply finishes it or takes it back")
	}
	a.say("keeping the services of %s running", dir.Base())
	return s.Run(ctx)
}

// placeServices takes the right to run services in the foreground. All says that they are a whole set, and not some of one that service managers share.
func (a *app) placeServices(ctx context.Context, dir *deploy.Dir, set []*service.Service, all bool) (release func(), err error) {
	var held []io.Closer
	release = func() {
		for _, c := range held {
			c.Close() //nolint:errcheck // nothing was written to it
		}
	}
	if all {
		lock, err := dir.Supervise(ctx)
		if err != nil {
			return nil, err
		}
		held = append(held, lock)
	}
	for _, s := range set {
		p, err := dir.Place(ctx, s.Name, 0, nil)
		if err == nil {
			held = append(held, p)
			err = p.Tell(deploy.Running{Launcher: os.Getpid(), Began: time.Now(), Since: time.Now(), State: supervise.Starting, Text: "in the foreground"})
		}
		if err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}
