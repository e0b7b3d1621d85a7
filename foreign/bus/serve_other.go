//go:build !linux

package bus

import (
	"context"
	"log/slog"
	"net"

	"github.com/MordragT/nuka/protocol"
)

// Serve returns an error: sandboxes exist on Linux only.
func Serve(context.Context, *net.UnixListener, string, *Policy, *slog.Logger) error {
	return protocol.Errorf(protocol.Unsupported, "this system has no sandbox, and no session bus to filter")
}

func closeFiles([]int) {}

// StartDocuments returns an error, as Serve does.
func StartDocuments(context.Context, string) (string, error) {
	return "", protocol.Errorf(protocol.Unsupported, "this system has no document portal")
}

// Main returns 1, as Serve returns an error.
func Main([]string) int { return 1 }
