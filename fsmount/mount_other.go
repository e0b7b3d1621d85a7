//go:build !linux

package fsmount

import (
	"context"
	"errors"

	"github.com/MordragT/nuka/pir"
)

// HolderArg is the argument of a holder. This system has none.
const HolderArg = "mount-holder"

var errNoFUSE = errors.New("nuka mounts no file system on this operating system")

// Hold is a holder. This system has none.
func Hold(string) (int, error) { return 1, errNoFUSE }

// A Mount is a mounted store. This system has none.
type Mount struct{}

// New returns an error: this system has no mount.
func New(*Options) (*Mount, error) { return nil, errNoFUSE }

// Run does nothing.
func (*Mount) Run(context.Context) error { return errNoFUSE }

// InUse reports false.
func (*Mount) InUse() bool { return false }

// Held returns no packages.
func (*Mount) Held([]pir.PID) []pir.PID { return nil }

// Changed does nothing.
func (*Mount) Changed(...pir.PID) error { return nil }

// State returns why nothing is mounted.
func (*Mount) State() State { return State{Problem: errNoFUSE.Error()} }

// Wait returns why nothing is mounted.
func (*Mount) Wait(context.Context) error { return errNoFUSE }
