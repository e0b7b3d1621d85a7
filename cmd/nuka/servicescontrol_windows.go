package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/windows/svc"

	"github.com/MordragT/nuka/protocol"
)

// systemState returns the folder of the state of services of the machine.
func systemState() string { return filepath.Join(os.Getenv("ProgramData"), "nuka", "services") }

// controlled calls run, and returns its error. If the service control manager of Windows has started this process, controlled answers to it meanwhile: it says that the
// service runs when run calls ready, and ends the context of run when the manager wants the service to stop.
func controlled(ctx context.Context, run func(ctx context.Context, ready func()) error) error {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return run(ctx, func() {})
	}
	c := &scmControl{ctx: ctx, run: run}
	if err := svc.Run("", c); err != nil {
		return protocol.Errorf(protocol.Failed, "services: %w", err)
	}
	return c.err
}

// An scmControl implements svc.Handler.
type scmControl struct {
	ctx context.Context //nolint:containedctx // Execute gets none
	run func(ctx context.Context, ready func()) error
	err error
}

// controlTick is the time between two signs of life while a service starts or stops, and controlPatience how long the manager waits for one.
const (
	controlTick     = time.Second
	controlPatience = 30 * time.Second
)

// Execute implements svc.Handler.
func (c *scmControl) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (specific bool, code uint32) {
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	ready, ended := make(chan struct{}), make(chan error, 1)
	once := sync.OnceFunc(func() { close(ready) })
	go func() { ended <- c.run(ctx, once) }()
	tick := time.NewTicker(controlTick)
	defer tick.Stop()
	pending := func(s svc.State) svc.Status {
		return svc.Status{State: s, Accepts: svc.AcceptStop | svc.AcceptShutdown, WaitHint: uint32(controlPatience.Milliseconds())}
	}
	now := pending(svc.StartPending)
	for {
		status <- now
		select {
		case <-ready:
			ready = nil
			if now.State == svc.StartPending {
				now = svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
			}
		case <-tick.C:
			if now.State != svc.Running {
				now.CheckPoint++
			}
		case r := <-requests:
			if r.Cmd == svc.Stop || r.Cmd == svc.Shutdown {
				now = pending(svc.StopPending)
				stop()
			}
		case c.err = <-ended:
			if c.err != nil && now.State != svc.StopPending {
				return true, uint32(exitCodes[protocol.Failed]) // the manager starts the service again
			}
			return false, 0
		}
	}
}
