package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

// A started is a command's record of the daemon that it has started: the program file, and the state of that file at the start.
// A daemon that a service manager runs has no such record; commands leave its restart to the service manager.
type started struct {
	Process int       `json:"process"`
	Program string    `json:"program"`
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
}

func (a *app) startedFile() string { return filepath.Join(a.home.Run, "started") }

func startedNow(program string, process int) (started, error) {
	info, err := os.Stat(program)
	if err != nil {
		return started{}, err
	}
	return started{process, program, info.Size(), info.ModTime()}, nil
}

// noteStarted writes the record. It ignores failures: without the record, a rebuilt daemon is only not replaced.
func (a *app) noteStarted(program string, process int) {
	if s, err := startedNow(program, process); err == nil {
		if b, err := json.Marshal(s); err == nil {
			_ = os.WriteFile(a.startedFile(), b, 0o600)
		}
	}
}

// replaceRebuilt stops the home's daemon if a command started it, its program was rebuilt since then, and it is idle.
func (a *app) replaceRebuilt(ctx context.Context) error {
	var then started
	b, err := os.ReadFile(a.startedFile())
	if err != nil || json.Unmarshal(b, &then) != nil {
		return nil
	}
	program, err := daemonProgram()
	if err != nil || program != then.Program {
		return nil // the daemon belongs to another installation
	}
	now, err := startedNow(program, then.Process)
	if err != nil || now.Size == then.Size && now.Time.Equal(then.Time) {
		return nil
	}
	var s protocol.Status
	if err := control.Ask(ctx, a.home.Run, protocol.OpStatus, &s); err != nil || s.Process != then.Process {
		return nil // connecting reports what is wrong with it
	}
	if len(s.Running) > 0 {
		a.say("nukad was rebuilt: the old daemon keeps running, because it works on %s", strings.Join(s.Running, ", "))
		return nil
	}
	a.say("nukad was rebuilt: replacing the daemon")
	return a.stopDaemon(ctx, false)
}
