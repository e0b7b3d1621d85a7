//go:build unix && !linux

package wasmrt

// fionread asks how many bytes are readable: _IOR('f', 127, int).
const fionread = 0x4004667f
