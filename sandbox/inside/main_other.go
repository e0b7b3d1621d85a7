//go:build !linux

package inside

import (
	"fmt"
	"os"
)

// Main reports that this system has no sandbox.
func Main([]string) int {
	fmt.Fprintln(os.Stderr, "nuka-sandbox: sandboxes need Linux")
	return 1
}
