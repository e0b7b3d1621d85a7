package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// hostile does what a hostile install script does: steal tries to get at KIND:WHAT, one after the other, and prints what it got. offer listens on sockets, which
// stand for the services of a user.
func hostile(command string, args []string) error {
	if command == "offer" {
		for _, at := range args {
			l, err := net.Listen("unix", at)
			if err != nil {
				return err
			}
			defer l.Close()
		}
		time.Sleep(time.Hour)
		return nil
	}
	for _, a := range args {
		kind, what, _ := strings.Cut(a, ":")
		if err := attempt(kind, what); err != nil {
			fmt.Fprintf(os.Stderr, "kept %s: %v\n", a, err)
			continue
		}
		fmt.Println("stole", a)
	}
	return nil
}

func attempt(kind, what string) error {
	switch kind {
	case "read":
		if _, err := os.ReadFile(what); err == nil {
			return nil
		}
		list, err := os.ReadDir(what)
		if err == nil && len(list) == 0 {
			return fmt.Errorf("the folder is empty")
		}
		return err
	case "write":
		f, err := os.OpenFile(what, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		f.Close()
		return os.Remove(what)
	case "env": // its own environment, and that of each other process
		files, _ := filepath.Glob("/proc/*/environ")
		for _, name := range files {
			if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(what)) {
				return nil
			}
		}
		return fmt.Errorf("it is nowhere")
	case "unix", "tcp":
		c, err := net.DialTimeout(kind, what, 5*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	case "name":
		_, err := net.LookupHost(what)
		return err
	case "get", "post": // by the proxy that the environment names
		method := map[string]string{"get": http.MethodGet, "post": http.MethodPost}[kind]
		r, err := http.NewRequest(method, strings.Replace(what, "REGISTRY/", os.Getenv("PIP_INDEX_URL"), 1), strings.NewReader(strings.Repeat("secret", len(kind)-3)))
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if body, _ := io.ReadAll(io.LimitReader(answer.Body, 300)); answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", answer.Status, body)
		}
		return nil
	}
	return fmt.Errorf("nobody steals by %q", kind)
}
