//go:build !linux

package prepared

// Main runs nothing: this system has no sandbox.
func Main([]string) int { return 2 }
