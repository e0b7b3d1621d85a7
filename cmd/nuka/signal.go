package main

import (
	"os"
	"os/signal"
	"slices"
)

// removeAtEnd leaves it to the program that this process now runs what Ctrl-C and other signals do: they end the process, as they would end a native program. Before it ends,
// dir is removed, unless it is empty. The signals in except stay with the caller. Stop ends the watch; it does not remove dir.
func removeAtEnd(dir string, except ...os.Signal) (stop func()) {
	signal.Reset(os.Interrupt, terminate) // until here they cancel the context; resetting all signals would take milliseconds
	asked, over := make(chan os.Signal, 1), make(chan struct{})
	signals := slices.DeleteFunc(slices.Clone(endSignals), func(s os.Signal) bool { return slices.Contains(except, s) })
	if len(signals) > 0 { // none would be all
		signal.Notify(asked, signals...)
	}
	go func() {
		select {
		case s := <-asked:
			_ = os.RemoveAll(dir) // the system removes what is left; of "" it removes nothing
			endBy(s)
		case <-over:
		}
	}()
	return func() {
		signal.Stop(asked)
		close(over)
	}
}
