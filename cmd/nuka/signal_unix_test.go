//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A signal ends nuka run as it would end the program, and the program's temporary folder goes. A signal that nuka was started to ignore ends nothing.
func TestRunEndsTidy(t *testing.T) {
	home := shortDir(t)
	t.Cleanup(func() { stop(t, home) })
	v := &victim{t: t, home: home, dir: t.TempDir()}
	toolPackage(t, v.dir, serve(t, t.TempDir()).URL, false)
	v.works("build", "./tool.nu")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // what does not end is killed
	defer cancel()
	begin := func(name string, args ...string) (c *exec.Cmd, temp string) {
		temp = t.TempDir()
		c = exec.CommandContext(ctx, name, args...)
		c.Dir, c.Env = v.dir, append(os.Environ(), "NUKA_HOME="+home, "TMPDIR="+temp)
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "sleeping\n" {
			t.Fatalf("the program wrote %q: %v", line, err)
		}
		return c, temp
	}
	run := []string{filepath.Join(programs, "nuka"), "run", "./tool.nu", "--", "sleep"}
	left := func(temp string) bool {
		list, err := os.ReadDir(temp)
		return err != nil || len(list) > 0
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(s) { // the tests were started by nohup
			continue
		}
		c, temp := begin(run[0], run[1:]...)
		if !left(temp) {
			t.Fatal("the program has no folder of its own")
		}
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != s || left(temp) {
			t.Errorf("%s: %s; the temporary folder is left: %v", s, c.ProcessState, left(temp))
		}
	}
	c, temp := begin("sh", append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, run...)...)
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if status, _ := c.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM || left(temp) {
		t.Errorf("without SIGHUP: %s; the temporary folder is left: %v", c.ProcessState, left(temp))
	}
	// A broken pipe, as head leaves it.
	temp = t.TempDir()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	c = exec.CommandContext(ctx, run[0], run[1:]...)
	c.Dir, c.Env, c.Stdout = v.dir, append(os.Environ(), "NUKA_HOME="+home, "TMPDIR="+temp), writer
	if err := c.Run(); c.ProcessState.ExitCode() != 128+int(syscall.SIGPIPE) || left(temp) {
		t.Errorf("a broken pipe: %v; the temporary folder is left: %v", err, left(temp))
	}
	writer.Close()
}
