package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	osexec "os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// native runs the commands that only a native program has.
func native(command string, args []string) error {
	switch command {
	case "escape": // FILE: starts a process that leaves its session and its parent, and waits
		c := osexec.Command(os.Args[0], "orphan", args[0])
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Run(); err != nil {
			return err
		}
		fmt.Println("escaped")
		time.Sleep(time.Hour) // select {} would end a program with nothing else to do
	case "fds": // what it has inherited
		for fd := 3; fd < 1024; fd++ {
			if at, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err == nil {
				if flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); e == 0 && flags&syscall.FD_CLOEXEC == 0 && !strings.Contains(at, "anon_inode") {
					fmt.Println("inherited", fd, at)
				}
			}
		}
		fmt.Println("end of list, LISTEN_FDS", os.Getenv("LISTEN_FDS"))
		time.Sleep(time.Hour) // select {} would end a program with nothing else to do
	case "orphan":
		c := osexec.Command(os.Args[0], "sleeper")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			return err
		}
		return os.WriteFile(args[0], []byte(fmt.Sprint(c.Process.Pid)), 0o644)
	case "sleeper":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT)
		time.Sleep(10 * time.Minute)
	case "notify": // FILE: says that it is ready when the file exists; its environment has been read by then
		fmt.Println("socket", os.Getenv("NOTIFY_SOCKET"))
		for _, err := os.Stat(args[0]); err != nil; _, err = os.Stat(args[0]) {
			time.Sleep(10 * time.Millisecond)
		}
		c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
		if err != nil {
			return err
		}
		if _, err := c.Write([]byte("STATUS=fine\nREADY=1")); err != nil {
			return err
		}
		time.Sleep(time.Hour) // select {} would end a program with nothing else to do
	case "about": // prints what a build could depend on
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		here, err := os.Getwd()
		if err != nil {
			return err
		}
		mask := syscall.Umask(0)
		since := time.Duration(uptime()) * time.Second
		fmt.Printf("host %s, user %d, group %d, umask %03o, in %s, up for less than a minute: %v\n", host, os.Getuid(), os.Getgid(), mask, here, since < time.Minute)
		_, err = os.OpenFile("/dev/tty", os.O_RDWR, 0)
		fmt.Println("terminal:", err == nil)
	case "dial":
		c, err := net.DialTimeout("tcp", args[0], 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	case "get": // asks the registry that a variable names for a path
		answer, err := http.Get(os.Getenv(args[0]) + args[1])
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
			return fmt.Errorf("%s: %s", answer.Status, body)
		}
		_, err = io.Copy(os.Stdout, answer.Body)
		return err
	case "steal", "offer":
		return hostile(command, args)
	case "linger": // leaves a process that changes a file a little later
		c := osexec.Command(os.Args[0], "linger-on", args[0])
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return c.Start()
	case "linger-on":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		for {
			_ = os.WriteFile(args[0], []byte(time.Now().String()), 0o644)
			time.Sleep(5 * time.Millisecond)
		}
	case "abstract": // listens on an abstract socket, or connects to it
		if args[0] == "listen" {
			l, err := net.Listen("unix", "@nuka-test")
			if err != nil {
				return err
			}
			defer l.Close()
			if err := os.WriteFile("/tmp/listening", nil, 0o644); err != nil {
				return err
			}
			for range 1000 {
				if _, err := os.Stat("/tmp/tried"); err == nil {
					return nil
				}
				time.Sleep(10 * time.Millisecond)
			}
			return nil
		}
		for range 1000 {
			if _, err := os.Stat("/tmp/listening"); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		c, err := net.Dial("unix", "@nuka-test")
		_ = os.WriteFile("/tmp/tried", nil, 0o644)
		if err == nil {
			c.Close()
		}
		return err
	case "special": // a FIFO, a socket, a set-user-ID file and a folder that nobody may read
		if err := syscall.Mkfifo(args[0]+"/fifo", 0o644); err != nil {
			return err
		}
		return syscall.Mknod(args[0]+"/socket", syscall.S_IFSOCK|0o644, 0)
	case "mode":
		if err := os.WriteFile(args[0], []byte("x"), 0o666); err != nil {
			return err
		}
		return syscall.Chmod(args[0], 0o4755)
	case "flood":
		line := []byte(strings.Repeat("x", 1<<16))
		for {
			if _, err := os.Stdout.Write(line); err != nil {
				return err
			}
		}
	case "signal":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "processes": // starts processes without end
		for n := 0; ; n++ {
			c := osexec.Command(os.Args[0], "sleep")
			if err := c.Start(); err != nil {
				return fmt.Errorf("after %d: %w", n, err)
			}
		}
	default:
		return fmt.Errorf("%q is no command", command)
	}
	return nil
}

func uptime() int64 {
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		return 1 << 40
	}
	return int64(info.Uptime)
}
