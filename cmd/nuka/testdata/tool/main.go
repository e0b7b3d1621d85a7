// Tool is the WebAssembly program of the script scenes.
package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("tool says hello")
		return
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func run(command string, args []string) error {
	switch command {
	case "echo":
		fmt.Println(strings.Join(args, " "))
	case "serve": // NAME MILLISECONDS
		return serve(args[0], args[1])
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
	case "cat":
		if len(args) == 0 {
			_, err := io.Copy(os.Stdout, os.Stdin)
			return err
		}
		b, err := os.ReadFile(args[0])
		os.Stdout.Write(b)
		return err
	case "ls":
		list, err := os.ReadDir(args[0])
		for _, e := range list {
			fmt.Println(e.Name())
		}
		return err
	case "write":
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "upper":
		b, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		return os.WriteFile(args[1], []byte(strings.ToUpper(string(b))), 0o644)
	case "install": // a copy of itself
		b, err := os.ReadFile(os.Args[0])
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
			return err
		}
		return os.WriteFile(args[0], b, 0o755)
	case "walk": // prints the files below a folder, with their content
		return filepath.WalkDir(args[0], func(p string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			b, err := os.ReadFile(p)
			fmt.Printf("%s: %s\n", strings.TrimPrefix(p, args[0]), bytes.TrimSpace(b))
			return err
		})
	case "later": // makes a file ready, waits for a file go, and runs the rest of its arguments
		if err := os.WriteFile("ready", nil, 0o644); err != nil {
			return err
		}
		for {
			if _, err := os.Stat("go"); err == nil {
				return run(args[0], args[1:])
			}
			time.Sleep(10 * time.Millisecond)
		}
	case "fail":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, strings.Join(args[1:], " "))
		os.Exit(code)
	case "sleep":
		fmt.Println("sleeping")
		for {
			time.Sleep(time.Second)
		}
	case "sparse": // a sparse file of 100 GB
		f, err := os.Create(args[0])
		if err != nil {
			return err
		}
		return f.Truncate(100e9)
	case "bomb": // runs itself, twice each time
		for range 2 {
			if err := exec(os.Args[0], "bomb"); err != nil {
				return err
			}
		}
	case "link": // reads through a link that it makes
		if err := os.Symlink(args[0], "link"); err != nil {
			return err
		}
		b, err := os.ReadFile("link")
		os.Stdout.Write(b)
		return err
	case "look": // prints which of these exist
		for _, name := range args {
			if _, err := os.Lstat(name); err == nil {
				fmt.Println("found", name)
			}
		}
	case "reach":
		return reach(args[0])
	case "spin":
		for n := 0; ; n++ {
			if n == -1 {
				break
			}
		}
	default:
		return native(command, args)
	}
	return nil
}
