package main

import (
	"os"
	"os/exec"
)

// scopeVariable says to the commands below a launcher that systemd has started that they are part of a service: user or system, for the manager that has it.
const scopeVariable = "NUKA_SERVICE_SCOPE"

// apartFromService returns the command that starts the daemon. Below a service of systemd, the daemon gets a scope of its own: systemd ends all that is in the cgroup
// of a service when the service stops.
func apartFromService(program string, args ...string) *exec.Cmd {
	scope := os.Getenv(scopeVariable)
	if scope == "" {
		return exec.Command(program, args...)
	}
	run, err := exec.LookPath("systemd-run")
	if err != nil {
		return exec.Command(program, args...)
	}
	return exec.Command(run, append([]string{"--" + scope, "--scope", "--quiet", "--collect", "--", program}, args...)...)
}
