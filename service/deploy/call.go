package deploy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// call runs a command of a service manager, and returns as an error what it said.
func call(ctx context.Context, words ...string) error {
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.WaitDelay = time.Second
	c.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_PAGER=")
	out, err := c.CombinedOutput()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var exit *exec.ExitError
	if text := strings.TrimSpace(string(out)); errors.As(err, &exit) && text != "" {
		return fmt.Errorf("%s: %.2000s (%w)", strings.Join(words, " "), text, err)
	}
	return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
}

// exited reports whether an error says that a command ended with one of some exit codes.
func exited(err error, codes ...int) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	for _, code := range codes {
		if exit.ExitCode() == code {
			return true
		}
	}
	return false
}

// absent is the error of a manager that does not run on this machine.
func absent(format string, args ...any) error {
	return protocol.Errorf(protocol.Unavailable, format, args...).WithHint("apply the set with another manager: --as MANAGER; in a container, --as nuka with nuka services run")
}

// needs returns an error if a command of a manager is not installed.
func needs(manager string, commands ...string) error {
	for _, name := range commands {
		if _, err := exec.LookPath(name); err != nil {
			return absent("%s does not run here: its command %s is not installed", manager, name)
		}
	}
	return nil
}

// poll calls done until it reports true, ctx ends or most has passed, and returns whether it reported true.
func poll(ctx context.Context, most time.Duration, done func() bool) bool {
	for end := time.Now().Add(most); !done(); {
		if time.Now().After(end) {
			return false
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return false
		}
	}
	return true
}
