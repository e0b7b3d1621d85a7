// Guest is the program that the tests run. Its arguments are small commands, separated by "--".
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

var files = map[string]*os.File{}

func main() {
	args := os.Args[1:]
	if name := filepath.Base(os.Args[0]); name != "guest" {
		fmt.Println("called as", name)
	}
	for len(args) > 0 {
		n := 0
		for n < len(args) && args[n] != "--" {
			n++
		}
		if err := run(args[:n]); err != nil {
			fmt.Printf("%s: %v\n", args[0], err)
		}
		args = args[min(n+1, len(args)):]
	}
}

func arg(a []string, i int) string {
	if i < len(a) {
		return a[i]
	}
	return ""
}

func num(s string) int64 {
	n, _ := strconv.ParseInt(s, 0, 64)
	return n
}

func run(a []string) error {
	switch a[0] {
	case "args":
		fmt.Printf("%q\n", os.Args)
	case "env":
		for _, e := range os.Environ() {
			fmt.Println(e)
		}
	case "pwd":
		d, err := os.Getwd()
		fmt.Println(d)
		return err
	case "cat":
		b, err := os.ReadFile(a[1])
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", b)
	case "stdin":
		b, err := io.ReadAll(os.Stdin)
		fmt.Printf("%s\n", b)
		return err
	case "write":
		return os.WriteFile(a[1], []byte(a[2]), 0o644)
	case "append":
		f, err := os.OpenFile(a[1], os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString(a[2])
		return err
	case "excl":
		f, err := os.OpenFile(a[1], os.O_EXCL|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	case "symlink":
		return os.Symlink(a[1], a[2])
	case "link":
		return os.Link(a[1], a[2])
	case "readlink":
		s, err := os.Readlink(a[1])
		fmt.Println(s)
		return err
	case "rename":
		return syscall.Rename(a[1], a[2]) // os.Rename checks its arguments first
	case "rm":
		return os.Remove(a[1])
	case "rmall":
		return os.RemoveAll(a[1])
	case "mkdir":
		return os.Mkdir(a[1], 0o755)
	case "truncate": // PATH or KEY
		if f := files[a[1]]; f != nil {
			return f.Truncate(num(a[2]))
		}
		return os.Truncate(a[1], num(a[2]))
	case "openmany":
		for {
			f, err := os.Open(a[1])
			if err != nil {
				return fmt.Errorf("after %d: %w", len(files), err)
			}
			files[fmt.Sprint(len(files))] = f
		}
	case "allocate": // KEY BYTES
		if e := fd_allocate(int32(files[a[1]].Fd()), 0, uint64(num(a[2]))); e != 0 {
			return syscall.Errno(e)
		}
	case "serve": // NAME
		return serve(a[1])
	case "reach": // ADDRESS
		return reach(a[1])
	case "accept": // for every descriptor
		for fd := range int32(16) {
			var conn int32
			if e := syscall.Errno(sock_accept(fd, 0, unsafe.Pointer(&conn))); e != syscall.ENOTSOCK && (fd < 5 || e != syscall.EBADF) {
				return e
			}
		}
	case "utime":
		t := time.Unix(num(a[2]), 0)
		return os.Chtimes(a[1], t, t)
	case "stat", "lstat":
		st, err := os.Stat(a[1])
		if a[0] == "lstat" {
			st, err = os.Lstat(a[1])
		}
		if err != nil {
			return err
		}
		s := st.Sys().(*syscall.Stat_t)
		fmt.Println(st.Name(), st.Mode().Type(), st.Size(), st.ModTime().Unix(), s.Nlink)
	case "ino":
		st, err := os.Stat(a[1])
		if err != nil {
			return err
		}
		fmt.Println(st.Sys().(*syscall.Stat_t).Ino)
	case "ls":
		list, err := os.ReadDir(a[1])
		for _, e := range list {
			fmt.Println(e.Name(), e.Type())
		}
		return err
	case "count":
		f, err := os.Open(a[1])
		if err != nil {
			return err
		}
		names, err := f.Readdirnames(-1)
		sorted := true
		for i := range names[1:] {
			sorted = sorted && names[i] < names[i+1]
		}
		fmt.Println(len(names), "names, sorted:", sorted)
		return err
	case "open": // KEY PATH MODE
		mode := map[string]int{"r": os.O_RDONLY, "w": os.O_WRONLY | os.O_CREATE, "rw": os.O_RDWR | os.O_CREATE}[arg(a, 3)]
		f, err := os.OpenFile(a[2], mode, 0o644)
		files[a[1]] = f
		return err
	case "read": // KEY
		b, err := io.ReadAll(files[a[1]])
		fmt.Printf("%s\n", b)
		return err
	case "pread":
		b := make([]byte, num(a[3]))
		n, err := files[a[1]].ReadAt(b, num(a[2]))
		fmt.Printf("%s\n", b[:n])
		return err
	case "pwrite":
		_, err := files[a[1]].WriteAt([]byte(a[3]), num(a[2]))
		return err
	case "puts":
		_, err := files[a[1]].WriteString(a[2])
		return err
	case "seek":
		_, err := files[a[1]].Seek(num(a[2]), io.SeekStart)
		return err
	case "size":
		st, err := files[a[1]].Stat()
		if err != nil {
			return err
		}
		fmt.Println(st.Size())
	case "dirnames": // KEY: an open directory
		names, err := files[a[1]].Readdirnames(-1)
		fmt.Println(names)
		return err
	case "at": // KEY PATH: read a file relative to an open directory, by the system call itself
		b, err := readAt(files[a[1]], a[2])
		if err != nil {
			return err
		}
		fmt.Printf("%s\n", b)
	case "putat": // KEY PATH TEXT
		return writeAt(files[a[1]], a[2], a[3])
	case "linkat": // KEY FROM TO, with the paths unchanged
		d := int32(files[a[1]].Fd())
		if e := path_link(d, 0, unsafe.Pointer(unsafe.StringData(a[2])), uint32(len(a[2])), d, unsafe.Pointer(unsafe.StringData(a[3])), uint32(len(a[3]))); e != 0 {
			return syscall.Errno(e)
		}
	case "close":
		return files[a[1]].Close()
	case "time":
		fmt.Println(time.Now().UTC().Format(time.RFC3339))
	case "sleep":
		d, _ := time.ParseDuration(a[1])
		t := time.Now()
		time.Sleep(d)
		fmt.Println(time.Since(t) >= d)
	case "random":
		b := make([]byte, 8)
		random_get(unsafe.Pointer(&b[0]), 8)
		fmt.Printf("%x\n", b)
	case "tty":
		for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
			st, err := f.Stat()
			if err != nil {
				return err
			}
			fmt.Fprint(os.Stderr, st.Mode()&os.ModeCharDevice != 0, " ")
		}
	case "stderr":
		fmt.Fprintln(os.Stderr, a[1])
	case "exit":
		os.Exit(int(num(a[1])))
	case "panic":
		panic(a[1])
	case "trap":
		var p *[1 << 30]int
		_ = p[rand.Intn(1<<29)+1<<29]
	case "stack":
		fmt.Println(deep(1 << 40))
	case "loop":
		for {
			spin++
		}
	case "chatter": // an endless loop that makes calls
		for {
			time.Now()
		}
	case "grow": // until growing fails
		var keep [][]byte
		for {
			b := make([]byte, 64<<20)
			b[0] = 1
			keep = append(keep, b)
			fmt.Println("got", len(keep)*64, "MiB")
		}
	case "memory": // MiB
		b := make([]byte, num(a[1])<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		fmt.Println(len(b)>>20, "MiB")
		runtime.KeepAlive(b)
	case "many": // DIR N
		for i := range num(a[2]) {
			if err := os.WriteFile(fmt.Sprintf("%s/f%07d", a[1], i), nil, 0o644); err != nil {
				return fmt.Errorf("after %d: %w", i, err)
			}
		}
	case "hammer": // N PATH NEW: reads and creates files while another program renames directories in their paths
		for i := range num(a[1]) {
			if b, err := os.ReadFile(a[2]); err == nil && len(b) > 0 {
				return fmt.Errorf("read %q", b)
			}
			if f, err := os.OpenFile(a[3], os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err == nil {
				f.Close()
			}
			_ = os.Mkdir(a[3]+".d", 0o755)
			_ = os.Symlink("x", a[3]+".l")
			_ = syscall.Rename(a[3], fmt.Sprint(a[3], i))
			_ = os.Remove(a[2])
		}
	case "swap": // N A B C: exchanges two names continuously
		for range num(a[1]) {
			_ = syscall.Rename(a[2], a[4])
			_ = syscall.Rename(a[3], a[2])
			_ = syscall.Rename(a[4], a[3])
		}
	case "flood": // bytes
		b := []byte(strings.Repeat("x", 1<<16))
		for n := num(a[1]); n > 0; n -= int64(len(b)) {
			if _, err := os.Stdout.Write(b); err != nil {
				return err
			}
		}
	case "exec":
		code, err := exec(a[1:], nil, "")
		fmt.Println("exit", code)
		return err
	case "execin": // DIR ARGS
		code, err := exec(a[2:], []string{"ONLY=this"}, a[1])
		fmt.Println("exit", code)
		return err
	case "bomb": // runs itself twice, recursively
		for range 2 {
			if code, err := exec([]string{"guest", "bomb"}, nil, ""); err != nil || code != 0 {
				fmt.Fprintln(os.Stderr, "bomb:", code, err)
				os.Exit(9)
			}
		}
	case "repeat": // N: runs "true" N times
		for i := range num(a[1]) {
			if code, err := exec([]string{"guest"}, nil, ""); err != nil || code != 0 {
				return fmt.Errorf("after %d: %d %w", i, code, err)
			}
		}
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

var spin int

func deep(n int) int {
	if n == 0 {
		return 0
	}
	return deep(n-1) + 1
}

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func random_get(p unsafe.Pointer, n uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_allocate
//go:noescape
func fd_allocate(fd int32, off, n uint64) uint32

//go:wasmimport wasi_snapshot_preview1 sock_accept
//go:noescape
func sock_accept(fd int32, flags uint32, conn unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 path_open
//go:noescape
func path_open(dir int32, lookup uint32, path unsafe.Pointer, n uint32, oflags uint32, rights, inherit uint64, flags uint32, fd unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 path_link
//go:noescape
func path_link(from int32, lookup uint32, path unsafe.Pointer, n uint32, to int32, path2 unsafe.Pointer, n2 uint32) uint32

//go:wasmimport nuka exec
//go:noescape
func nuka_exec(argv unsafe.Pointer, argvLen uint32, env unsafe.Pointer, envLen uint32, cwd unsafe.Pointer, cwdLen uint32, fds, status unsafe.Pointer) uint32

func openAt(dir *os.File, name string, oflags uint32, rights uint64) (*os.File, error) {
	var fd int32
	if e := path_open(int32(dir.Fd()), 1, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), oflags, rights, 0, 0, unsafe.Pointer(&fd)); e != 0 {
		return nil, syscall.Errno(e)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readAt(dir *os.File, name string) ([]byte, error) {
	f, err := openAt(dir, name, 0, 2)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func writeAt(dir *os.File, name, text string) error {
	f, err := openAt(dir, name, 1|8, 64)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}

func exec(argv, env []string, dir string) (int, error) {
	args := []byte(strings.Join(argv, "\x00") + "\x00")
	var ep, dp unsafe.Pointer
	var ebuf []byte
	if env != nil {
		ebuf = []byte(strings.Join(env, "\x00") + "\x00")
		ep = unsafe.Pointer(&ebuf[0])
	}
	if dir != "" {
		dp = unsafe.Pointer(unsafe.StringData(dir))
	}
	var status [4]byte
	e := nuka_exec(unsafe.Pointer(&args[0]), uint32(len(args)), ep, uint32(len(ebuf)), dp, uint32(len(dir)), nil, unsafe.Pointer(&status[0]))
	runtime.KeepAlive(ebuf)
	if e != 0 {
		return 0, syscall.Errno(e)
	}
	return int(binary.LittleEndian.Uint32(status[:])), nil
}
