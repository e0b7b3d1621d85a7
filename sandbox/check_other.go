//go:build !linux

package sandbox

import (
	"context"
	"runtime"
)

// Check lists what this machine offers to sandboxes.
func Check(context.Context, string) []Finding {
	return []Finding{{What: "sandbox of foreign programs", Detail: "needs Linux; this is " + runtime.GOOS,
		Hint: "WebAssembly programs run here without it; foreign programs need Linux, or a virtual machine with it"}}
}
