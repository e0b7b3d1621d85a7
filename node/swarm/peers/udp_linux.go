package peers

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// A mergedConn is a socket on which the kernel merges consecutive packets from one peer (UDP_GRO): one system call reads them, and quic-go
// acknowledges them at once. quic-go reads by ReadBatch if the socket has it, in one goroutine.
type mergedConn struct {
	*net.UDPConn
	buf [64 << 10]byte
	oob [256]byte

	rest    []byte // bytes that were read and not returned
	size    int    // of each packet in rest, the last one may be shorter
	control []byte
	from    *net.UDPAddr
}

// listenUDP opens a socket for QUIC.
func listenUDP(network string, at *net.UDPAddr) (net.PacketConn, error) {
	c, err := net.ListenUDP(network, at)
	if err != nil {
		return nil, err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	var refused error
	err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1) })
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if refused != nil {
		return c, nil // an older kernel
	}
	return &mergedConn{UDPConn: c}, nil
}

// ReadBatch reads at most one packet for each message, which has one buffer. It ignores the flags.
func (c *mergedConn) ReadBatch(messages []ipv4.Message, _ int) (int, error) {
	if len(c.rest) == 0 {
		n, oobn, _, from, err := c.ReadMsgUDP(c.buf[:], c.oob[:])
		if err != nil {
			return 0, err
		}
		c.rest, c.control, c.from = c.buf[:n], c.oob[:oobn], from
		if c.size = mergedSize(c.control); c.size <= 0 {
			c.size = max(n, 1)
		}
	}
	read := 0
	for ; read < len(messages) && (len(c.rest) > 0 || read == 0); read++ {
		m, k := &messages[read], min(c.size, len(c.rest))
		m.N = copy(m.Buffers[0], c.rest[:k]) // a packet that is too long is cut off, as the kernel does
		m.NN = copy(m.OOB, c.control)
		m.Addr = c.from
		c.rest = c.rest[k:]
	}
	return read, nil
}

// mergedSize returns the size of the packets that were merged, 0 if none were.
func mergedSize(control []byte) int {
	for len(control) > 0 {
		h, body, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return 0
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(body) >= 4 {
			return int(binary.NativeEndian.Uint32(body))
		}
		control = rest
	}
	return 0
}
