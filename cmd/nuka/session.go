package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

const (
	// startTimeout is how long a daemon may take to answer.
	startTimeout = 60 * time.Second
	// idleTimeout is how long a daemon that a command has started stays without calls.
	idleTimeout = "1h"
)

// connect returns a connection to the home's daemon, which it starts when none runs, or to the node of --node.
// The caller closes it.
func (a *app) connect(ctx context.Context) (*control.Client, error) {
	if a.node != "" {
		return a.attach(ctx)
	}
	client, err := a.dial(ctx)
	if !errors.Is(err, control.ErrNoDaemon) {
		return client, err
	}
	if err := a.startDaemon(ctx); err != nil {
		return nil, err
	}
	return a.dial(ctx)
}

// dial is connect to a daemon that runs.
func (a *app) dial(ctx context.Context) (*control.Client, error) {
	if a.node != "" {
		return a.attach(ctx)
	}
	key, err := control.LoadKey(a.home.UserKey())
	if err != nil {
		return nil, err
	}
	return control.Dial(ctx, a.home.Run, key)
}

// startDaemon starts a daemon in the background and waits until it answers.
// Of several commands that do it at once, one daemon stays.
func (a *app) startDaemon(ctx context.Context) error {
	program, err := daemonProgram()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.home.Run, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(a.home.DaemonLog(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(program, "--idle", idleTimeout)
	c.Dir = a.home.Run
	c.Stdout, c.Stderr = log, log
	detach(c)
	if err := c.Start(); err != nil {
		return protocol.Errorf(protocol.Internal, "start %s: %v", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var failed error
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		client, err := a.dial(ctx)
		if err == nil {
			return client.Close()
		}
		if !errors.Is(err, control.ErrNoDaemon) {
			return err
		}
		if failed != nil { // and nobody else's daemon has come up meanwhile
			return protocol.Errorf(protocol.Unavailable, "the daemon did not start: %v", failed).
				WithHint("its log: %s", a.home.DaemonLog())
		}
		select {
		case err := <-ended:
			failed = errors.Join(errors.New("it ended at once"), err)
			pause = time.Second // leave another command's daemon the time to come up
		case <-time.After(pause):
			continue
		case <-ctx.Done():
			return protocol.Errorf(protocol.Unavailable, "the daemon does not answer").WithHint("its log: %s", a.home.DaemonLog())
		}
		time.Sleep(pause)
	}
}

// daemonProgram finds nukad: beside this program, or in PATH.
func daemonProgram() (string, error) {
	name := "nukad"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		if self, err = filepath.EvalSymlinks(self); err == nil {
			beside := filepath.Join(filepath.Dir(self), name)
			if _, err := os.Stat(beside); err == nil {
				return beside, nil
			}
		}
	}
	found, err := exec.LookPath(name)
	if err != nil {
		return "", protocol.Errorf(protocol.NotFound, "the daemon's program, %s, is neither beside this one nor in PATH", name).
			WithHint("install both, or run: make build")
	}
	return found, nil
}
