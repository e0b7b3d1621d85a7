package wasmrt

// archCalls lists the calls that Go or a C library makes on this architecture only.
var archCalls []uint32
