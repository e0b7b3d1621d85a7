package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/foreign/safety"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// runNativeProgram runs a native program of a package. One whose package states that it is memory-safe, and whose file shows it, runs with the user's own rights, as other
// programs of this machine do. One whose package names its runtime runs in that, in a sandbox.
func (a *app) runNativeProgram(ctx context.Context, trees *nodeTrees, program *protocol.Program, args []string, o *runOptions) error {
	if err := a.ownNode("run a native program"); err != nil {
		return err
	}
	n, err := a.nativeProgram(ctx, trees, program)
	if err != nil {
		return err
	}
	if !program.Runtime.IsZero() {
		return a.runForeign(ctx, n, program.Runtime, args, o)
	}
	at := filepath.Join(n.folder, n.id.String(), filepath.FromSlash(n.inside))
	if err := checkSafety(at, n.described); err != nil {
		return protocol.Errorf(protocol.Denied, "%s is a native program, and does not run outside a sandbox: %w", filepath.Base(at), err).
			WithHint("run it in a sandbox: nuka exec --with %s -- %s; or build it as WebAssembly", shellWord(n.described.Name), filepath.Base(at))
	}
	for _, pair := range o.env {
		if name, value, given := strings.Cut(pair, "="); given {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	if o.service.is {
		return a.runServiceProgram(ctx, append([]string{at}, args...), &o.service)
	}
	return a.runNative(append([]string{at}, args...))
}

// ownNode returns an error if the node is one on another machine, whose folders are not here.
func (a *app) ownNode(what string) error {
	if a.node == "" {
		return nil
	}
	return protocol.Errorf(protocol.Unsupported, "%s: the node is on another machine, and its folders are not here", what).
		WithHint("leave --node out, and get the package from that node: nuka get TICKET")
}

// checkSafety returns why a program must not run outside a sandbox, or nil.
func checkSafety(at string, described *pir.PIR) error {
	claim, err := safety.ParseClaim(described.Policy["memory_safe"])
	if err != nil {
		return err
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return claim.Check(f, info.Size())
}

// storePath returns the package and the path in it of a path that programs see.
func storePath(at string) (pir.PID, string, error) {
	rest, ok := strings.CutPrefix(at, nu.StoreDir+"/")
	name, rest, _ := strings.Cut(rest, "/")
	id, err := pir.ParsePID(name)
	if !ok || err != nil {
		return pir.PID{}, "", protocol.Errorf(protocol.Internal, "the program %s is in no package", at)
	}
	return id, rest, nil
}
