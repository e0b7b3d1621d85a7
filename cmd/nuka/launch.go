package main

import (
	"context"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// launch runs a command of an installed package, as its launcher asks: PID COMMAND ARGS.
func (t *terminal) launch(ctx context.Context, args []string) int {
	err := func() error {
		if len(args) < 2 {
			return usage("%s is the command of launchers, which nuka install writes", profile.LaunchCommand)
		}
		id, err := pir.ParsePID(args[0])
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "%s: %w", profile.LaunchCommand, err)
		}
		a, err := newApp(t)
		if err != nil {
			return err
		}
		client, err := a.connect(ctx)
		if err != nil {
			return err
		}
		program, trees, err := a.openProgram(ctx, client, protocol.ProgramArgs{PID: id, Command: args[1]})
		if err != nil {
			if protocol.CodeOf(err) == protocol.NotFound {
				return protocol.Errorf(protocol.NotFound, "%s: %w", args[1], err).WithHint("get its package again: nuka install PKG")
			}
			return err
		}
		defer trees.Close()
		return a.exec(ctx, program, trees, args[2:], &runOptions{})
	}()
	if err != nil {
		return t.fail(err, false)
	}
	return 0
}
