//go:build !linux

package peers

import "net"

// listenUDP opens a socket for QUIC.
func listenUDP(network string, at *net.UDPAddr) (net.PacketConn, error) {
	return net.ListenUDP(network, at)
}
