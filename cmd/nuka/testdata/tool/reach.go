//go:build !wasip1

package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// reach connects to an address, directly and through the proxy of HTTPS_PROXY, and prints what came of it.
func reach(address string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err == nil {
		conn.Close()
	}
	fmt.Println("directly:", err)
	proxy := strings.TrimPrefix(os.Getenv("HTTPS_PROXY"), "http://")
	if proxy == "" {
		return nil
	}
	if conn, err = net.DialTimeout("tcp", proxy, 5*time.Second); err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address)
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Println("by the proxy:", strings.TrimSpace(line))
	return err
}
