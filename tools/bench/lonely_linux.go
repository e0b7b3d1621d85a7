package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

var noNameSpaces = sync.OnceFunc(func() {
	fmt.Fprintln(os.Stderr, "bench: there are no network name spaces here: replays and installs without network could reach the network")
})

// lonely calls f on a thread whose network name space has the loopback device only, and with a listener in it; nil if address is "".
// Programs that f starts are in the name space, too. If there are no name spaces, f runs without.
func lonely(address string, f func(net.Listener) error) error {
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with this function
		if err := loopback(); err != nil {
			noNameSpaces()
		}
		ended <- listening(address, f)
	}()
	return <-ended
}

// loopback puts the thread into a new network name space.
func loopback() error {
	if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd) //nolint:errcheck // nothing was written
	request := struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}
