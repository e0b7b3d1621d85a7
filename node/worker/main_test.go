package worker

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/MordragT/nuka/node/machine"
)

// testWorkers are the functions that this program runs when a test has started it as a worker.
var testWorkers = map[string]func() error{Arg: Run, machine.Arg: machine.Main}

// nativeDir is the folder of the programs that the tests of native builds have built, or "".
var nativeDir string

// TestMain makes this program the workers that its tests start. It checks that every goroutine that a test starts has ended.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && testWorkers[os.Args[1]] != nil {
		if err := testWorkers[os.Args[1]](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if nativeDir != "" {
			os.RemoveAll(nativeDir)
		}
		os.Exit(code)
	}))
}
