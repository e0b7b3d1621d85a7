package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// serve answers requests of HTTP on the socket of a name, from the milliseconds on that its start takes. /slow takes half a second, /reach?ADDRESS tries to connect
// to something, and /exit ends the program.
func serve(name string, start string) error {
	ms, err := strconv.Atoi(start)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	var l net.Listener
	for i, n := range strings.Split(os.Getenv("LISTEN_FDNAMES"), ":") {
		if n == name {
			if l, err = net.FileListener(os.NewFile(uintptr(3+i), name)); err != nil {
				return err
			}
		}
	}
	if l == nil {
		return fmt.Errorf("no socket %s: LISTEN_FDNAMES is %q", name, os.Getenv("LISTEN_FDNAMES"))
	}
	fmt.Println("serving; LISTEN_PID is mine:", os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()))
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answer(c)
	}
}

func answer(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	first, err := in.ReadString('\n')
	for line := first; err == nil && strings.TrimSpace(line) != ""; {
		line, err = in.ReadString('\n')
	}
	words := strings.Fields(first)
	if err != nil || len(words) < 2 {
		return
	}
	text := "hello"
	if g := os.Getenv("GREETING"); g != "" {
		text = g
	}
	path, query, _ := strings.Cut(words[1], "?")
	switch path {
	case "/slow":
		time.Sleep(500 * time.Millisecond)
	case "/reach":
		conn, err := net.DialTimeout("tcp", query, time.Second)
		text = fmt.Sprint("reached: ", err == nil)
		if err == nil {
			conn.Close()
		}
	case "/exit":
		os.Exit(3)
	}
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
}
