package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A daemon is a background program of a measurement that is measured too.
type daemon struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	log   string
	ended chan error
}

// launch starts a program, which the caller must stop. Its standard error goes to a file.
func (t task) launch(log string) (*daemon, error) {
	cmd := exec.Command(t.args[0], t.args[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), t.env...), t.dir
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd.Stderr = f
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &daemon{cmd: cmd, in: in, out: bufio.NewReader(out), log: log, ended: make(chan error, 1)}, nil
}

// line returns the next line of the daemon's output.
func (d *daemon) line() (string, error) {
	s, err := d.out.ReadString('\n')
	if err != nil {
		said, _ := os.ReadFile(d.log)
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(d.cmd.Path), err, said)
	}
	return strings.TrimSpace(s), nil
}

// stop ends the daemon: it closes its input, interrupts it, and finally kills it.
func (d *daemon) stop() {
	d.in.Close()
	_ = d.cmd.Process.Signal(os.Interrupt) // it may have ended
	go func() {
		_, _ = io.Copy(io.Discard, d.out)
		d.ended <- d.cmd.Wait()
	}()
	select {
	case <-d.ended:
	case <-time.After(15 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.ended
	}
}

// tick is what the kernel counts processor time in, for /proc.
const tick = 10 * time.Millisecond

// cpu is the processor time that the daemon has used, as process.cpu counts it.
func (d *daemon) cpu() time.Duration { return process(d.cmd.Process.Pid).cpu() }

// cpu is the processor time that a process has used, with that of the children it has waited for; 0 where there is no /proc.
func (p process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return 0
	}
	used := int64(0)
	for _, text := range f[11:15] {
		n, _ := strconv.ParseInt(text, 10, 64)
		used += n
	}
	return time.Duration(used) * tick
}

// status returns a size from /proc/PID/status: VmHWM is the peak of resident memory, VmRSS its current size.
func (d *daemon) status(name string) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// between measures a task while daemons serve it. It counts the daemons' processor time, and the memory of receiver,
// or of the task itself if receiver is nil.
func between(ready func() error, t task, receiver *daemon, all ...*daemon) (sample, error) {
	if err := ready(); err != nil {
		return sample{}, err
	}
	var before, after time.Duration
	for _, d := range all {
		before += d.cpu()
	}
	s, err := t.measure()
	for _, d := range all {
		after += d.cpu()
	}
	s.cpu += after - before
	if receiver != nil {
		s.memory = receiver.status("VmHWM")
	}
	return s, err
}

// until calls ask repeatedly until it returns true.
func until(what string, limit time.Duration, ask func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ask() {
			return nil
		}
	}
	return errors.New("waited in vain for " + what)
}
