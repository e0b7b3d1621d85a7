//go:build !windows

package main

import "context"

// systemState returns the folder of the state of services of the machine.
func systemState() string { return "/var/lib/nuka/services" }

// controlled calls run, and returns its error: here no service manager wants another answer than run gives itself.
func controlled(ctx context.Context, run func(ctx context.Context, ready func()) error) error {
	return run(ctx, func() {})
}
