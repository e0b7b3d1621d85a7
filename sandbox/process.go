package sandbox

import (
	"context"
	"os"
	"syscall"
)

// Options are the optional parameters of Start. A nil Options has the zero values.
type Options struct {
	// The standard streams of the program; nil is the null device. They must not be folders.
	Stdin, Stdout, Stderr *os.File
	// Extra are more descriptors of the program, from 3 on.
	Extra []*os.File
	// User is, if this process is root, the user and group of the host that the sandbox acts as, in place of root; 0 is the caller.
	// That user must be able to reach the paths that the Spec names.
	User int
	// Complete is called while the launcher starts, and completes the Spec, of which only that counts before by which the name spaces are made: Net, UID and GID.
	// It must not change these. If it fails, Start fails with its error.
	Complete func(*Spec) error
	// Prepare is called when the name spaces exist and before anything inside runs, with the process ID of init on the host.
	// It is the place to connect a network. If it fails, Start fails with its error.
	Prepare func(init int) error
	// Listening gets the listening socket of Spec.Listen, before the program runs. It owns the file.
	Listening func(*os.File)
	// Started is called by Run when the program runs. It is the place to tell what Held and Missing return.
	Started func(p *Process)
}

// A Status tells how a program ended.
type Status struct {
	Code   int            // the exit code, or 128 and the number of the signal
	Signal syscall.Signal // the signal that ended the program, or 0 if it exited by itself
}

// Run starts a program in a sandbox, passes on signals to it, and waits for it. While it runs, SIGINT and SIGQUIT do not end this process,
// because a terminal sends them to the program as well; SIGHUP, SIGTERM, SIGUSR1 and SIGUSR2 are passed on.
// If ctx is done, everything inside is killed. Errors are those of Start and Wait.
func Run(ctx context.Context, launcher string, spec *Spec, opt *Options) (Status, error) {
	signals := catchSignals()
	defer signals.release()
	defer keepTerminal()()
	p, err := Start(ctx, launcher, spec, opt)
	if err != nil {
		return Status{}, err
	}
	signals.relay(p)
	if opt != nil && opt.Started != nil {
		opt.Started(p)
	}
	return p.waitInForeground()
}
