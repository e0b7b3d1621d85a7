package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/sandbox"
)

// TestStatus checks how the end of a program is told.
func TestStatus(t *testing.T) {
	needSpaces(t)
	for _, c := range []struct {
		script string
		want   sandbox.Status
	}{
		{"exit 0", sandbox.Status{}},
		{"exit 7", sandbox.Status{Code: 7}},
		{"exit 137", sandbox.Status{Code: 137}},
		{"kill -KILL $$", sandbox.Status{Code: 137, Signal: syscall.SIGKILL}},
		{"kill -TERM $$", sandbox.Status{Code: 143, Signal: syscall.SIGTERM}},
	} {
		if got := mustRun(t, system(), "sh", "-c", c.script); got.Status != c.want {
			t.Errorf("%s: got %+v, want %+v", c.script, got.Status, c.want)
		}
	}
}

// TestNoProgram checks the errors of programs that cannot be started.
func TestNoProgram(t *testing.T) {
	needSpaces(t)
	dir := folder(t)
	for name, text := range map[string]string{"script": "#!/no/such/interpreter\n", "garbage": "\x01\x02\x03", "plain": "x"} {
		mode := os.FileMode(0o755)
		if name == "plain" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		program string
		errno   syscall.Errno
		hint    string
	}{
		{"none", unix.ENOENT, ""}, {"/none", unix.ENOENT, ""}, {"/dir/plain", unix.EACCES, ""},
		{"/dir/script", unix.ENOENT, "interpreter"}, {"/dir/garbage", unix.ENOEXEC, "no program"}, {"/dir", unix.EACCES, ""},
	} {
		s := box(sandbox.Mount{Kind: sandbox.RO, Source: dir, Target: "/dir"})
		s.Argv = []string{c.program}
		_, err := run(t, t.Context(), s, sandbox.Options{})
		var setup *sandbox.SetupError
		if !errors.As(err, &setup) || setup.Step != sandbox.StepProgram || !errors.Is(err, c.errno) || !strings.Contains(setup.Hint, c.hint) {
			t.Errorf("%s: got %v (%+v), want %v", c.program, err, setup, c.errno)
		}
	}
}

// TestSignals checks that the program gets the signals that are sent to it through the sandbox, once each.
func TestSignals(t *testing.T) {
	needSpaces(t)
	for _, session := range []sandbox.Session{sandbox.SessionShared, sandbox.SessionNew} {
		s := system()
		s.Session = session
		s.Argv = []string{"sh", "-c", "trap 'echo usr1' USR1; trap 'echo int' INT; trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p, err := sandbox.Start(t.Context(), launcher(), s, &sandbox.Options{Stdout: w})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(r)
		for _, step := range []struct {
			want string
			send syscall.Signal
		}{{"ready", syscall.SIGUSR1}, {"usr1", syscall.SIGINT}, {"int", syscall.SIGTERM}} {
			if !lines.Scan() || lines.Text() != step.want {
				t.Fatalf("got %q, want %q", lines.Text(), step.want)
			}
			if err := p.Signal(step.send); err != nil {
				t.Fatal(err)
			}
		}
		if lines.Scan() {
			t.Errorf("got %q after the end", lines.Text())
		}
		if st, err := p.Wait(); err != nil || st.Code != 9 {
			t.Errorf("got %+v, %v", st, err)
		}
		r.Close()
	}
}

// alive returns the processes of this machine whose arguments contain text.
func alive(t *testing.T, text string) (pids []string) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte(text)) && filepath.Base(filepath.Dir(f)) != "self" {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

// mark returns an argument by which this test finds its processes, and not those of another run.
func mark(name string) string {
	return fmt.Sprintf("%s%d-%d", name, os.Getpid(), time.Now().UnixNano())
}

// TestNothingOutlives checks that processes left behind end with the program, with the context, and with the caller.
func TestNothingOutlives(t *testing.T) {
	needSpaces(t)
	gone := func(t *testing.T, mark string) {
		t.Helper()
		for end := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			left := alive(t, mark)
			if len(left) == 0 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("still alive: %v", left)
			}
		}
	}
	t.Run("program", func(t *testing.T) {
		text := mark("mark-of-program-")
		s := box()
		s.Argv = []string{"probe", "orphan", text}
		if st, err := sandbox.Run(t.Context(), launcher(), s, nil); err != nil || st.Code != 0 { // a process left behind would keep an output open
			t.Fatalf("got %+v, %v", st, err)
		}
		gone(t, text)
	})
	t.Run("context", func(t *testing.T) {
		text := mark("mark-of-context-")
		ctx, cancel := context.WithCancel(t.Context())
		s := system()
		s.Argv = []string{"sh", "-c", "sh -c 'sleep 1000; : " + text + "' & sleep 1000; : " + text}
		p, err := sandbox.Start(ctx, launcher(), s, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := p.Wait(); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v from a killed sandbox", err)
		}
		if _, err := sandbox.Start(ctx, launcher(), s, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v from a context that is done", err)
		}
		gone(t, text)
	})
	t.Run("caller", func(t *testing.T) {
		text := mark("mark-of-caller-")
		c := callerCommand(t, "", "sh", "-c", "echo ready; sleep 1000; : "+text)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
		gone(t, text)
	})
}

// A screen collects what comes out of a terminal.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func watch(master *os.File) *screen {
	s := &screen{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.text.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// wait waits until text has appeared after the first from bytes, and returns how many bytes there are.
func (s *screen) wait(t *testing.T, from int, text string) int {
	t.Helper()
	for range 500 {
		s.mu.Lock()
		all := s.text.String()
		s.mu.Unlock()
		if i := strings.Index(all[min(from, len(all)):], text); i >= 0 {
			return from + i + len(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Fatalf("no %q in %q", text, s.text.String()[min(from, s.text.Len()):])
	return 0
}

// resume is how long a shell may take to give the terminal to a program; what is typed before may be lost, as the shell sets the terminal anew.
const resume = 500 * time.Millisecond

// TestJobControl runs programs in a sandbox under a real interactive shell on a terminal: Ctrl-C, Ctrl-Z and fg, a program that stops itself,
// and a shell inside that takes the terminal.
func TestJobControl(t *testing.T) {
	needSpaces(t)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	master, slave := terminal(t)
	_ = unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77})
	c := exec.Command(bash, "--norc", "--noprofile", "-i")
	run := callerCommand(t, "")
	c.Env = append(run.Env, "PS1=PROMPT> ", "BOX="+run.Path, "HISTFILE=")
	onTerminal(c, slave)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	s := watch(master)
	at := s.wait(t, 0, "PROMPT> ")
	send := func(keys string) { _, _ = io.WriteString(master, keys) }
	step := func(keys string, want ...string) {
		t.Helper()
		if keys[0] < ' ' {
			time.Sleep(100 * time.Millisecond) // a shell that gets Ctrl-C while it starts a program lets the program decide, which is not there yet
		}
		send(keys)
		for _, w := range want {
			at = s.wait(t, at, w)
		}
	}
	step("$BOX sh -c 'stty size; tty; echo rea''dy; sleep 100'\n", "33 77", "/dev/console", "ready")
	step("\x03", "PROMPT> ")
	step("echo code $?\n", "code 130")
	step("$BOX sh -c 'trap \"echo i''nt; exit 5\" INT; echo rea''dy; while :; do sleep 0.01; done'\n", "ready")
	step("\x03", "int", "PROMPT> ")
	step("echo code $?\n", "code 5")
	step("$BOX sh -c 'echo rea''dy; sleep 0.3; read x; echo go''t $x'\n", "ready")
	step("\x1a", "Stopped", "PROMPT> ")
	step("fg\n", "fg")
	time.Sleep(resume)
	step("line\n", "got line", "PROMPT> ")
	step("$BOX sh -c 'kill -STOP $$; echo bac''k'\n", "Stopped", "PROMPT> ")
	step("fg\n", "back", "PROMPT> ")
	step("$BOX bash --norc -i\n", "bash")
	step("echo in''side\n", "inside")
	step("exit\n", "PROMPT> ")
	step("echo aft''er\n", "after", "PROMPT> ")
	step("sh -c '$BOX bash --norc -i; read x; echo go\"\"t $x'\n", "bash") // sh does not take the terminal back by itself
	step("exit\n", "exit")
	time.Sleep(resume)
	step("line\n", "got line", "PROMPT> ")
}

// TestTerminalInjection checks that a program cannot type into the terminal that it runs on.
func TestTerminalInjection(t *testing.T) {
	needSpaces(t)
	for _, mode := range []string{"probe", "probe new"} {
		for _, p := range []string{"type", "type-wide", "paste"} {
			master, slave := terminal(t)
			c := callerCommand(t, mode, "probe", p)
			onTerminal(c, slave)
			s := watch(master)
			_ = c.Run()
			if s.wait(t, 0, "denied: operation not permitted") == 0 {
				t.Errorf("%s %s", mode, p)
			}
		}
	}
}
