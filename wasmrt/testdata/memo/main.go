// Command memo is a small compiler for tests of Memo: it imports nothing but WASI. A source has one order a line.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

func main() {
	var sources, search []string
	out := "a.out"
	args := os.Args[1:]
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-o":
			i++
			out = args[i]
		case strings.HasPrefix(a, "-I"):
			search = append(search, a[2:])
		case strings.HasPrefix(a, "@"):
			sources = append(sources, strings.Fields(read(a[1:]))...)
		default:
			sources = append(sources, a)
		}
	}
	search = append(search, strings.Split(os.Getenv("CPATH"), ":")...)
	var b strings.Builder
	for _, s := range sources {
		compile(&b, s, search)
	}
	must(os.WriteFile(out+".tmp", []byte(b.String()), 0o644))
	must(os.Rename(out+".tmp", out))
	fmt.Println("compiled", strings.Join(sources, " "))
	busy()
	if strings.Contains(b.String(), "fail") {
		os.Exit(3)
	}
}

// busy makes a run long enough to be remembered.
func busy() {
	x := uint64(1)
	for range 25_000_000 {
		x = x*6364136223846793005 + 1
	}
	if x == 0 {
		fmt.Println()
	}
}

func compile(b *strings.Builder, source string, search []string) {
	for line := range strings.Lines(read(source)) {
		order, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch order {
		case "include":
			for _, dir := range append([]string{path.Dir(source)}, search...) {
				if text, err := os.ReadFile(path.Join(dir, arg)); err == nil {
					b.Write(text)
					break
				}
			}
		case "list":
			list, err := os.ReadDir(arg)
			must(err)
			for _, e := range list {
				fmt.Fprintln(b, e.Name())
			}
		case "mtime":
			st, err := os.Stat(arg)
			must(err)
			fmt.Fprintln(b, st.ModTime().Unix())
		case "clock":
			fmt.Fprintln(b, time.Now().Unix())
		case "env":
			fmt.Fprintln(b, os.Getenv(arg))
		case "stdin":
			text, err := bufio.NewReader(os.Stdin).ReadString('\n')
			if err != io.EOF {
				must(err)
			}
			b.WriteString(text)
		case "append":
			f, err := os.OpenFile(arg, os.O_WRONLY|os.O_APPEND, 0)
			must(err)
			_, err = f.WriteString("more\n")
			must(err)
			must(f.Close())
		case "move":
			from, to, _ := strings.Cut(arg, " ")
			must(os.Rename(from, to))
		case "mkdir":
			must(os.Mkdir(arg, 0o755))
		case "symlink":
			must(os.Symlink("target", arg))
		case "remove":
			must(os.Remove(arg))
		case "touch":
			must(os.Chtimes(arg, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		case "fill":
			if err := os.WriteFile(arg, make([]byte, 1<<20), 0o644); err != nil {
				fmt.Fprintln(b, "fail: disk full")
			}
		case "warn":
			fmt.Fprintln(os.Stderr, arg)
		default:
			b.WriteString(line)
		}
	}
}

func read(name string) string {
	b, err := os.ReadFile(name)
	must(err)
	return string(b)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		busy()
		os.Exit(1)
	}
}
