package service

import (
	"time"

	"github.com/MordragT/nuka/pir"
)

// File is the name of the file of a package that has a set of services.
const File = "services.nuon"

// A Service is a program that keeps running.
type Service struct {
	Name string
	// Package has the program Command. Args are its arguments, after Expand.
	Package Package
	Command string
	Args    []string
	// Env are variables of the program, after Expand.
	Env map[string]string
	// Secrets are files that the program finds in the folder CREDENTIALS_DIRECTORY, by their names there.
	Secrets map[string]Secret
	// Listen are sockets that are opened for the program, sorted by name.
	Listen []Socket
	// State, Cache, Logs and Runtime give the program a folder of its own, whose path is in STATE_DIRECTORY and so on. Runtime is emptied at each start.
	State, Cache, Logs, Runtime bool
	// StateVersion is the form that the program gives to its state; 0: it does not say. Nothing goes back to a lower one by itself.
	StateVersion int
	// Config are files that the program finds in the folder CONFIGURATION_DIRECTORY, by their names there.
	Config map[string]string
	// Permissions are those that `nuka exec --allow` knows, of a program in a sandbox.
	Permissions []string
	// Ready says when the program has started.
	Ready Ready
	// Health says when it works; its zero value: as long as it runs.
	Health Health
	// Restart says what follows its end.
	Restart Restart
	// After are services that must be ready before. Needs are those among them without which it does not run: it is stopped when one of them ends for good.
	After, Needs []string
	// Limits bound what it may use.
	Limits Limits
	// Every says when it runs, if it is a job.
	Every Timer
	// Reload is the signal that makes it read its configuration again; empty if none does.
	Reload string
	// User is the user that a service manager of the machine runs it as: empty for the manager's own, UserDynamic for one of its own, or a name.
	User string
	// Native are lines for one service manager alone, by manager, section and key. Sets of others should have none.
	Native map[string]map[string]map[string]string
	// Stop says how it is asked to end.
	Stop Stop
}

// A Package is a package that a set refers to.
type Package struct {
	PID     pir.PID
	Name    string
	Version string // may be empty
}

// A Secret is where a secret comes from when the service starts. One of the fields is set.
type Secret struct {
	File string   // of this machine
	Run  []string // a program of this machine, which prints it
}

// A Check asks whether a program works. At most one of the fields is set.
type Check struct {
	// Port is one of this machine's own addresses, 127.0.0.1 or ::1, on which the program accepts connections.
	Port int
	// HTTP is an address that the program answers with a status below 400, or a path that it answers on the socket On.
	HTTP string
	// On is the name of a socket of Listen. Without HTTP the program has to accept a connection on it.
	On string
	// Socket is the one of On.
	Socket Socket
}

// IsZero reports whether nothing is asked.
func (c Check) IsZero() bool { return c == Check{} }

// Ready says when a program has started. Without a check it has if it accepts a connection on each of its sockets, or if it has none and still runs after Settle.
type Ready struct {
	Check
	// Notify: when it says so (sd_notify(3)).
	Notify bool
	Within time.Duration // how long it may take; a program that is not ready by then is stopped
}

// Settle is how long a program must run to be ready if nothing else tells.
const Settle = 2 * time.Second

// Health asks again and again. After Fails checks in a row that fail the program is stopped, and restarted as if it had failed.
type Health struct {
	Check
	Every time.Duration
	Fails int
}

// A Policy says after which ends a program is started again.
type Policy string

// The policies.
const (
	RestartNo      Policy = "no"
	RestartFailure Policy = "on-failure" // an exit code other than 0, or a signal
	RestartAlways  Policy = "always"
)

// Restart says what follows the end of a program.
type Restart struct {
	Policy Policy
	// Delay is the time before the first restart. It doubles with each further one, up to MaxDelay, until the program has been ready for MaxDelay.
	Delay time.Duration
}

// MaxDelay is the longest time before a restart.
const MaxDelay = time.Minute

// Next returns the delay before a restart that follows n restarts in a row.
func (r Restart) Next(n int) time.Duration {
	d := r.Delay
	for ; n > 0 && d < MaxDelay; n-- {
		d *= 2
	}
	return min(d, MaxDelay)
}

// Stop says how a program is asked to end, and when it is killed.
type Stop struct {
	Signal string // such as TERM
	Within time.Duration
}

// UserDynamic is a user that the service manager makes for the service alone.
const UserDynamic = "dynamic"

// Folders are the folders of a service as its program sees them. Empty ones do not exist.
type Folders struct{ State, Cache, Logs, Runtime, Config, Credentials string }

// Vars returns the variables by which the program finds its folders.
func (f Folders) Vars() []string {
	var out []string
	for _, v := range []struct{ name, at string }{
		{"STATE_DIRECTORY", f.State}, {"CACHE_DIRECTORY", f.Cache}, {"LOGS_DIRECTORY", f.Logs}, {"RUNTIME_DIRECTORY", f.Runtime},
		{"CONFIGURATION_DIRECTORY", f.Config}, {"CREDENTIALS_DIRECTORY", f.Credentials},
	} {
		if v.at != "" {
			out = append(out, v.name+"="+v.at)
		}
	}
	return out
}
