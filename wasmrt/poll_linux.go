package wasmrt

import "golang.org/x/sys/unix"

// fionread asks how many bytes are readable.
const fionread = unix.TIOCINQ
