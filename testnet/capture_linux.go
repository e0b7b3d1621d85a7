package testnet

import (
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// inside calls fn in the network name space of the node, on a thread of its own. Sockets that fn opens stay there.
func (d *Node) inside(fn func() error) {
	d.net.t.Helper()
	done := make(chan error, 1)
	var enter func()
	enter = func() {
		runtime.LockOSThread()              // not unlocked after Setns: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() { // the first thread never ends, and would be in the name space for good
			next := make(chan struct{})
			go func() { defer close(next); enter() }()
			<-next
			runtime.UnlockOSThread()
			return
		}
		f, err := os.Open("/var/run/netns/" + d.namespace())
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close() //nolint:errcheck // only opened
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}
	go enter()
	if err := <-done; err != nil {
		d.net.t.Fatalf("node %d: %v", d.n, err)
	}
}

// Listen listens for TCP on the node.
func (d *Node) Listen() net.Listener {
	d.net.t.Helper()
	var l net.Listener
	d.inside(func() (err error) {
		l, err = net.Listen("tcp", d.IP+":0")
		return err
	})
	return l
}

// Capture records every packet that the node sends and receives on its interface, until the returned function is called, which returns them.
func (d *Node) Capture() (stop func() [][]byte) {
	d.net.t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in the byte order of the network
	var fd int
	d.inside(func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: iface.Index})
	})
	var packets [][]byte
	var reading sync.WaitGroup
	over := make(chan struct{})
	reading.Go(func() {
		buf := make([]byte, 1<<17)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if n > 0 && err == nil {
				packets = append(packets, append([]byte{}, buf[:n]...))
				continue
			}
			select {
			case <-over:
				return
			default:
			}
		}
	})
	return func() [][]byte {
		time.Sleep(50 * time.Millisecond) // the last packets are on their way to the socket
		close(over)
		reading.Wait()
		unix.Close(fd) //nolint:errcheck // only read
		return packets
	}
}
