//go:build linux && !amd64 && !arm64

package wasmrt

// auditArch is zero where nobody has traced what a build calls: there is no filter, and Confinement says so.
const auditArch = 0

func allowedCalls(bool, int) []sysCall { return nil }
