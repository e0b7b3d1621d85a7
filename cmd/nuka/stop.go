package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

const (
	// stopPatience is how long a daemon may take to close its socket once it has been asked to stop.
	stopPatience = 10 * time.Second
	// folderPatience is how long a daemon may take to recreate the folder of its socket after that has vanished.
	folderPatience = 5 * time.Second
	// tellEvery is how often the command tells a waiting user what it waits for.
	tellEvery = 10 * time.Second
)

func (a *app) stopCommand() *cobra.Command {
	now := false
	c := &cobra.Command{
		Use: "stop", Short: "stop the node after its running builds", Args: exactArgs(),
		Long: `Stop asks the node to end and waits for it. The node finishes running builds first; --now cancels them.
Stop kills a node that does not answer.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.stopDaemon(c.Context(), now) },
	}
	c.Flags().BoolVar(&now, "now", false, "cancel running builds")
	return c
}

// stopDaemon ends the home's daemon. It calls the daemon over the socket, which works across network namespaces.
func (a *app) stopDaemon(ctx context.Context, now bool) error {
	if a.node != "" {
		return protocol.Errorf(protocol.Denied, "cannot stop a node on another machine")
	}
	a.awaitFolder(ctx)
	pid, err := control.Process(ctx, a.home.Run)
	var s protocol.Status
	if err == nil {
		err = control.Ask(ctx, a.home.Run, protocol.OpStatus, &s)
	}
	if err == nil {
		err = control.Ask(ctx, a.home.Run, protocol.OpStop, nil)
	}
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		a.endHolder()
		a.say("no daemon is running")
		return nil
	case errors.Is(err, control.ErrSilent):
		return a.killDaemon(pid, "it does not answer")
	case err != nil:
		return err
	}
	return a.waitForEnd(ctx, pid, s.Running, now)
}

// awaitFolder does nothing unless the folder of the socket has vanished while a daemon has the home's store. Then it waits until that daemon
// has recreated the folder, for folderPatience at most.
func (a *app) awaitFolder(ctx context.Context) {
	for start := time.Now(); time.Since(start) < folderPatience; {
		if _, err := os.Stat(a.home.Run); !errors.Is(err, os.ErrNotExist) || !alive(a.storeOwner(), a.home.Run) {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// storeOwner returns the process that has locked the store, by the number in the lock file, or 0.
// The process may have ended. On a system where a locked file cannot be read, storeOwner returns 0.
func (a *app) storeOwner() int {
	return processIn(filepath.Join(a.home.Store(), "lock"))
}

// processIn returns the number of a process that a lock file has, or 0.
func processIn(path string) int {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

// waitForEnd waits until the daemon's process has ended, without a time limit while the daemon's work goes on.
func (a *app) waitForEnd(ctx context.Context, pid int, running []string, now bool) error {
	if now {
		running = nil
	}
	asked, told := time.Now(), time.Now()
	for alive(pid, a.home.Run) {
		waited := time.Since(asked)
		if len(running) == 0 && waited > stopPatience {
			return a.killDaemon(pid, "it was asked to stop, and has not")
		}
		if len(running) > 0 && time.Since(told) > tellEvery {
			told = time.Now()
			a.say("waiting for %s; end it at once: nuka daemon stop --now", strings.Join(running, ", "))
		}
		if now { // the daemon was already asked to end, so a signal ends it at once
			if err := interrupt(pid); err != nil && alive(pid, a.home.Run) {
				return protocol.Errorf(protocol.Internal, "end process %d: %w", pid, err)
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// killDaemon kills a daemon that does not end by itself. Its unfinished work is left as after a power cut.
func (a *app) killDaemon(pid int, why string) error {
	if pid <= 0 {
		return protocol.Errorf(protocol.Unavailable, "the daemon cannot be stopped: %s", why).WithHint("end the process nukad; its log: %s", a.home.DaemonLog())
	}
	process, err := os.FindProcess(pid)
	if err == nil {
		err = process.Kill()
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return protocol.Errorf(protocol.Internal, "kill the daemon (process %d): %w", pid, err)
	}
	a.endHolder() // before the wait: a thread of the daemon may wait for the mount
	for start := time.Now(); alive(pid, a.home.Run) && time.Since(start) < stopPatience; {
		time.Sleep(20 * time.Millisecond)
	}
	a.say("the daemon (process %d) was killed: %s", pid, why)
	a.hint("its log: " + a.home.DaemonLog())
	return nil
}

// endHolder ends the process that holds the mount of a daemon that has ended without stopping it: it would wait a minute for another daemon,
// and so would programs that look into the mount, such as one that removes the home.
func (a *app) endHolder() {
	pid := processIn(filepath.Join(a.home.Run, "mount.lock"))
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), "\x00mount-holder\x00") {
		return // it has ended, and another process may have its number
	}
	if interrupt(pid) != nil {
		return
	}
	for start := time.Now(); alive(pid, a.home.Run) && time.Since(start) < 2*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
}
