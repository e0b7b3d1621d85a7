package proxy

import (
	"context"
	"net"
	"os"
	"sync"
)

// Attach lets serve answer at the listening socket of a sandbox. listening takes the socket (sandbox.Options.Listening), and may be called once. detach ends serve's
// context and waits for it. If nothing answers, or nothing any more, failed gets the reason, and whether serve had begun.
func Attach(ctx context.Context, serve func(context.Context, net.Listener) error, failed func(began bool, err error)) (listening func(*os.File), detach func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	listening = func(f *os.File) {
		defer f.Close()
		l, err := net.FileListener(f)
		if err != nil {
			failed(false, err)
			return
		}
		serving.Go(func() {
			if err := serve(ctx, l); err != nil {
				failed(true, err)
			}
		})
	}
	return listening, func() {
		cancel()
		serving.Wait()
	}
}
