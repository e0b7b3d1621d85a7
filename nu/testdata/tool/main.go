// Tool is the program that build closures of the tests run.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
	case "tool":
	case "clang", "lua": // stand-ins for the programs in docs/packages.md, which does not show their output
		fmt.Println(os.Args)
		return
	default:
		fmt.Println("called as", name)
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
	case "args":
		fmt.Printf("%q\n", args)
	case "env":
		fmt.Println(os.Getenv(args[0]))
	case "pwd":
		dir, err := os.Getwd()
		fmt.Println(dir)
		return err
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "both":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "to stderr")
	case "write":
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "fail":
		code, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, strings.Join(args[1:], " "))
		os.Exit(code)
	default:
		return fmt.Errorf("no command %s", command)
	}
	return nil
}
