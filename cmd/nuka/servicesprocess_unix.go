//go:build unix

package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// passedSignals are those by which a program is asked to end or to read its configuration: the process before it does not end by them.
var passedSignals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}

func closeOnExec(fd int) { syscall.CloseOnExec(fd) }

// onReload returns a channel that receives when this process gets SIGHUP.
func onReload() (<-chan struct{}, func()) {
	signals, out, over := make(chan os.Signal, 1), make(chan struct{}, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-signals:
				select {
				case out <- struct{}{}:
				default:
				}
			case <-over:
				return
			}
		}
	}()
	return out, func() {
		signal.Stop(signals)
		close(over)
	}
}

// limitFiles limits how many files this process and those that it starts may have open.
func limitFiles(n int) error {
	return syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: rlim(n), Max: rlim(n)})
}

// becomeProgram replaces this process by a program, which inherits its standard streams and its sockets, and nothing else.
func becomeProgram(files int, memory int64, command []string) error {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if n > 0 {
		if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil {
			return err
		}
	}
	for fd := firstSocket + n; fd < inherited; fd++ {
		syscall.CloseOnExec(fd)
	}
	if memory > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: rlim(memory), Max: rlim(memory)}); err != nil {
			return err
		}
	}
	if files > 0 {
		if err := limitFiles(files); err != nil {
			return err
		}
	}
	return syscall.Exec(command[0], command, os.Environ())
}
