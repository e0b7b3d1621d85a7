//go:build !linux && !darwin && !freebsd

package control

import "net"

// checkPeer relies on the permissions of the socket's folder:
// this platform does not tell who is at the other end of a unix socket.
func checkPeer(net.Conn) error { return nil }
