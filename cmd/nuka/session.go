package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

const (
	// startTimeout is how long a daemon may take to answer.
	startTimeout = 60 * time.Second
	// idleTimeout is how long a daemon that a command has started keeps running without calls.
	idleTimeout = "1h"
)

// connect returns a connection to the node of --node, or else to the home's daemon. If no daemon runs, connect starts one.
// The caller closes the connection.
func (a *app) connect(ctx context.Context) (*control.Client, error) {
	if a.node != "" {
		return a.attach(ctx)
	}
	if err := a.replaceRebuilt(ctx); err != nil {
		return nil, err
	}
	for {
		client, err := a.dial(ctx)
		if err == nil && !client.Takes(ctx) && ctx.Err() == nil { // the daemon is ending; a new one waits for that
			client.Close()
			err = control.ErrNoDaemon
		}
		if !errors.Is(err, control.ErrNoDaemon) {
			return client, err
		}
		if err := a.startDaemon(ctx); err != nil {
			return nil, err
		}
	}
}

// dial connects to a running daemon. If none runs, the error is control.ErrNoDaemon.
func (a *app) dial(ctx context.Context) (*control.Client, error) {
	if a.node != "" {
		return a.attach(ctx)
	}
	key, err := control.LoadKey(a.home.UserKey())
	if err != nil {
		return nil, err
	}
	client, err := control.Dial(ctx, a.home.Run, key)
	return client, a.unreachable(ctx, err)
}

// unreachable explains why a running daemon cannot be reached.
func (a *app) unreachable(ctx context.Context, err error) error {
	silent, elsewhere := errors.Is(err, control.ErrSilent), errors.Is(err, control.ErrElsewhere)
	if !silent && !elsewhere {
		return err
	}
	who := "the daemon"
	if pid, e := control.Process(ctx, a.home.Run); e == nil && pid > 0 {
		who = fmt.Sprintf("the daemon (process %d)", pid)
	}
	if silent {
		return protocol.Errorf(protocol.Unavailable, "%s does not answer", who).WithHint("its log: %s; end it: nuka daemon stop", a.home.DaemonLog())
	}
	return protocol.Errorf(protocol.Unavailable, "%s runs in another network namespace, such as a container's", who).
		WithHint("end it: nuka daemon stop; or set NUKA_HOME to use another home here")
}

// startDaemon starts a daemon in the background and waits until it answers.
// If several commands start a daemon at once, one daemon stays.
func (a *app) startDaemon(ctx context.Context) error {
	if a.home.System != "" {
		return protocol.Errorf(protocol.Unavailable, "the system daemon of this machine is not running").
			WithHint("start its service (docs/system.md), or use a node of your own: set NUKA_HOME to a folder")
	}
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
	begin, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	c := apartFromService(program, "--idle", idleTimeout, "--wait", startTimeout.String())
	c.Dir = a.home.Data // the folder of the socket may vanish while the daemon runs
	c.Stdout, c.Stderr = log, log
	detach(c)
	if err := c.Start(); err != nil {
		return protocol.Errorf(protocol.Internal, "start %s: %w", program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var failed error
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		client, err := a.dial(ctx)
		if err == nil {
			a.noteStarted(program, c.Process.Pid)
			return client.Close()
		}
		if !errors.Is(err, control.ErrNoDaemon) && ctx.Err() == nil {
			return err
		}
		if failed != nil { // and no other command's daemon has started meanwhile
			return protocol.Errorf(protocol.Unavailable, "the daemon did not start: %v%s", failed, said(a.home.DaemonLog(), begin)).
				WithHint("its log: %s", a.home.DaemonLog())
		}
		select {
		case err := <-ended:
			failed = errors.Join(errors.New("it ended at once"), err)
			pause = 100 * time.Millisecond // another command's daemon may answer
		case <-time.After(pause):
			continue
		case <-ctx.Done():
			return protocol.Errorf(protocol.Unavailable, "the daemon does not answer%s", said(a.home.DaemonLog(), begin)).
				WithHint("its log: %s", a.home.DaemonLog())
		}
		time.Sleep(pause)
	}
}

// said returns the last lines of a log that the daemon has written after an offset, each on a line of its own.
func said(path string, begin int64) string {
	const lines, most = 5, 4096
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		begin = max(begin, info.Size()-most)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, begin, most))
	text := strings.TrimSpace(string(b))
	if err != nil || text == "" {
		return ""
	}
	list := strings.Split(text, "\n")
	return "\n  " + strings.Join(list[max(0, len(list)-lines):], "\n  ")
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
