package main

import (
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/MordragT/nuka/wasmrt"
)

// answerWithin is how long a program may take to look at a signal that it handles. Programs look when they wait for something; what computes for longer is ended.
const answerWithin = 5 * time.Second

// passSignals gives the program that this process now runs what Ctrl-C and other signals mean: a program that handles a signal gets it, and else the signal ends this process,
// as it would end a native program. Before it ends, dir is removed, unless it is empty. The signals in except stay with the caller. Stop ends the watch; it does not remove dir.
// It is called before the program starts, and sets host.Signals.
func passSignals(host *wasmrt.Host, dir string, except ...os.Signal) (stop func()) {
	host.Signals = true
	signal.Reset(os.Interrupt, terminate) // until here they cancel the context; resetting all signals would take milliseconds
	asked, over := make(chan os.Signal, 1), make(chan struct{})
	signals := slices.DeleteFunc(slices.Clone(endSignals), func(s os.Signal) bool { return slices.Contains(except, s) })
	if len(signals) > 0 { // none would be all
		signal.Notify(asked, signals...)
	}
	end := func(s os.Signal) {
		_ = os.RemoveAll(dir) // the system removes what is left; of "" it removes nothing
		endBy(s)
	}
	go func() {
		for {
			select {
			case s := <-asked:
				if !host.Signal(number(s)) {
					end(s)
				}
				time.AfterFunc(answerWithin, func() {
					if host.Unanswered(number(s)) {
						end(s)
					}
				})
			case <-over:
				return
			}
		}
	}()
	return func() {
		signal.Stop(asked)
		close(over)
	}
}
