package worker

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/MordragT/nuka/node/machine"
)

// testWorkers are what this program does when a test has started it as a worker.
var testWorkers = map[string]func() error{Arg: Run, machine.Arg: machine.Main}

// TestMain lets this program be the workers that its tests start. What a test starts, it ends.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && testWorkers[os.Args[1]] != nil {
		if err := testWorkers[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
