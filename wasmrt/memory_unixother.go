//go:build unix && !linux

package wasmrt

func adviseHuge([]byte) {}
