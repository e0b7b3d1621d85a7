//go:build unix && !(linux || darwin || netbsd || solaris)

package wasmrt

const mapNoReserve = 0
