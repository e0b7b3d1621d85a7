//go:build !unix

package wasmrt

import (
	"context"
	"time"
)

// hostPoll reports every file as ready: this system cannot wait for a file that another part of the process opened.
// A read of such a file may block.
func hostPoll(_ context.Context, files []awaited, _ time.Duration) ([]readiness, errno) {
	out := make([]readiness, len(files))
	for i := range out {
		out[i] = readiness{ok: true, count: 1}
	}
	return out, eOK
}
