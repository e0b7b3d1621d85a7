//go:build !linux

package sandbox

import (
	"context"
	"os"
	"runtime"
)

// A Process is a sandbox whose program runs. Here there is none.
type Process struct{}

// Start reports that this system has no sandbox.
func Start(context.Context, string, *Spec, *Options) (*Process, error) {
	return nil, &SetupError{Step: "start a sandbox", Detail: "sandboxes need Linux; this is " + runtime.GOOS,
		Hint: "run foreign programs on Linux, or in a virtual machine with it; WebAssembly programs run here without one"}
}

// Wait returns the status of the program.
func (p *Process) Wait() (Status, error) { return Status{}, nil }

// Signal sends a signal to the program.
func (p *Process) Signal(os.Signal) error { return nil }

// Kill ends everything inside.
func (p *Process) Kill() error { return nil }

// Pid returns the process ID of init on the host.
func (p *Process) Pid() int { return 0 }

// Held tells what holds the limits.
func (p *Process) Held() Held { return Held{} }

// Missing lists the walls that this system lacks.
func (p *Process) Missing() []string { return nil }

func (p *Process) waitInForeground() (Status, error) { return p.Wait() }

type caught struct{}

func catchSignals() caught { return caught{} }

func (caught) relay(*Process) {}

func (caught) release() {}

func keepTerminal() (restore func()) { return func() {} }
