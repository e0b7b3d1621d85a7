package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// listener returns the socket of a name, as programs that follow sd_listen_fds(3) find it.
func listener(name string) (net.Listener, error) {
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("LISTEN_PID is %q, and this is %d", pid, os.Getpid())
	}
	for i, n := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
		if n == name {
			return net.FileListener(os.NewFile(uintptr(3+i), name))
		}
	}
	return nil, fmt.Errorf("there is no socket %s", name)
}

// serve answers lines with themselves on the socket of a name: "big" with a megabyte, "slow" after a moment, and "end" ends the program.
func serve(name string) error {
	l, err := listener(name)
	if err != nil {
		return err
	}
	end := make(chan struct{})
	var once sync.Once
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				fmt.Println("accept:", err)
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewScanner(c)
				for in.Scan() {
					switch line := in.Text(); line {
					case "big":
						_, _ = io.WriteString(c, strings.Repeat("a", 1<<20)+"\n")
					case "slow":
						fmt.Println("asked")
						time.Sleep(400 * time.Millisecond)
						fmt.Fprintln(c, line)
					case "end":
						once.Do(func() { close(end) })
					default:
						fmt.Fprintln(c, line)
					}
				}
			}()
		}
	}()
	<-end
	return nil
}

// reach tries what a program could try to get more of a network than its sockets.
func reach(addr string) error {
	var got []string
	try := func(what string, err error) { got = append(got, fmt.Sprintf("%s: %v", what, err != nil)) }
	_, err := net.DialTimeout("tcp", addr, time.Second)
	try("dial", err)
	_, err = net.Dial("unix", addr)
	try("dial unix", err)
	_, err = net.ResolveIPAddr("ip", "localhost")
	try("resolve", err)
	for fd := 0; fd < 20; fd++ {
		c, err := net.FileConn(os.NewFile(uintptr(fd), "x"))
		if err != nil {
			continue
		}
		_, err = c.Write([]byte("x")) // a listening socket is no connection
		try("write "+strconv.Itoa(fd), err)
	}
	sort.Strings(got)
	fmt.Println(strings.Join(got, ", "))
	return nil
}
