package fsmount_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// faultArg makes this program map a file, print the number of its thread, and look at the first page after a line came in.
const faultArg = "fault-a-page"

func fault(path string) int {
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // a collection would wait for the fault
	f, err := os.Open(path)
	if err != nil {
		return 3
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil || unix.Madvise(m, unix.MADV_RANDOM) != nil { // signals do not interrupt what the kernel reads ahead
		return 3
	}
	fmt.Println(unix.Gettid())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if !bytes.Equal(m, pattern(4096)) {
		return 4
	}
	return 0
}

// listArg makes this program open a folder, print the number of its thread, and list the folder with one call after a line came in.
const listArg = "list-a-folder"

func list(path string) int {
	runtime.LockOSThread()
	f, err := os.Open(path)
	if err != nil {
		return 3
	}
	fmt.Println(unix.Gettid())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	if n, err := unix.Getdents(int(f.Fd()), make([]byte, 4096)); n <= 0 || err != nil {
		fmt.Fprintln(os.Stderr, "getdents:", err)
		return 5
	}
	return 0
}

// A slowStore reads a tree when there is a file "release" in the job's folder.
type slowStore struct {
	*cas.Store
	job *serveJob
}

func (s *slowStore) Entries(ctx context.Context, root cid.CID) iter.Seq2[cas.Entry, error] {
	return func(yield func(cas.Entry, error) bool) {
		if err := s.job.released(ctx); err != nil {
			yield(cas.Entry{}, err)
			return
		}
		s.Store.Entries(ctx, root)(yield)
	}
}

// mapArg makes this program look at pages of a mapped file until its input ends.
const mapArg = "read-mapped"

func readMapped(path string) int {
	debug.SetGCPercent(-1)
	f, err := os.Open(path)
	if err != nil {
		return 3
	}
	want := pattern(8 << 20)
	m, err := unix.Mmap(int(f.Fd()), 0, len(want), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 3
	}
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	for n := 0; ; n++ {
		if at := rand.IntN(len(want) - 5000); !bytes.Equal(m[at:at+5000], want[at:at+5000]) {
			return 4
		}
		if stop.Load() {
			fmt.Println(n)
			return 0
		}
		_ = unix.Madvise(m, unix.MADV_DONTNEED)
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	}
}

// startMapped starts programs that read a mapped file and get many signals, and returns what ends them and looks at how they ended. They are processes
// of their own: a collection of Go's waits for a fault, and with it everything else.
func startMapped(t *testing.T, path string) (end func(t *testing.T)) {
	t.Helper()
	var programs []*exec.Cmd
	var inputs []io.Closer
	outs := make([]bytes.Buffer, 3)
	var signals sync.WaitGroup
	stop := make(chan struct{})
	for i := range outs {
		program := exec.Command(os.Args[0], mapArg, path)
		program.Stdout, program.Stderr = &outs[i], t.Output()
		input, err := program.StdinPipe()
		if err := errors.Join(err, program.Start()); err != nil {
			t.Fatal(err)
		}
		programs, inputs = append(programs, program), append(inputs, input)
		signals.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Millisecond):
					_ = program.Process.Signal(unix.SIGURG) // Go handles it
				}
			}
		})
	}
	return func(t *testing.T) {
		t.Helper()
		close(stop)
		signals.Wait()
		for i, program := range programs {
			err := errors.Join(inputs[i].Close(), program.Wait())
			if n, _ := strconv.Atoi(strings.TrimSpace(outs[i].String())); err != nil || n < 10 {
				t.Errorf("a program that reads a mapped file, %d times: %v", n, err)
			}
		}
	}
}

// slowFetch imports the content of the job's package when there is a file "release" in its folder.
func (j *serveJob) slowFetch(ctx context.Context, store *cas.Store) error {
	if err := j.released(ctx); err != nil {
		return err
	}
	tree, err := servedTree()
	if err == nil {
		_, err = store.Import(ctx, tree, nil)
	}
	return err
}

// released makes a file "asked" in the job's folder, and waits for a file "release".
func (j *serveJob) released(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(j.Dir, "asked"), nil, 0o600); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := os.Stat(filepath.Join(j.Dir, "release")); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return ctx.Err()
}

// TestListWaits has a program list a folder, of which a new daemon has to read the tree. Signals that the program handles do not end the call with EINTR, which few
// programs expect of it.
func TestListWaits(t *testing.T) {
	j, id, _ := newJob(t, true)
	server := j.start(t)
	defer func() { killed(t, server) }()
	j.await(t, id)
	program, input, thread := startWaiter(t, listArg, filepath.Join(j.mount(), id.String(), "small"))
	killed(t, server)
	j.SlowTrees = true
	server = j.start(t)
	j.disturb(t, program, input, thread)
	if err := program.Wait(); err != nil {
		t.Errorf("the program that listed: %v", err)
	}
}

// disturb lets a waiter of startWaiter make its call, sends it signals that it handles while the daemon waits to be released, and releases the daemon.
func (j *serveJob) disturb(t *testing.T, program *exec.Cmd, input io.Writer, thread int) {
	t.Helper()
	if _, err := io.WriteString(input, "\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to be asked", func() bool { _, err := os.Stat(filepath.Join(j.Dir, "asked")); return err == nil })
	for range 75 {
		_ = unix.Tgkill(program.Process.Pid, thread, unix.SIGURG) // Go handles it
		time.Sleep(20 * time.Millisecond)
	}
	j.release(t)
}

func (j *serveJob) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(j.Dir, "release"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFaultWaits has a program fault a page of a file that another daemon opened, and whose blob this daemon has to fetch. Signals that the program
// handles do not end the fault, which would end the program with SIGBUS. One that kills it does.
func TestFaultWaits(t *testing.T) {
	for _, deadly := range []bool{false, true} {
		t.Run(fmt.Sprintf("deadly=%v", deadly), func(t *testing.T) {
			j, id, _ := newJob(t, true)
			j.Slow = true
			server := j.start(t)
			defer func() { killed(t, server) }()
			j.await(t, id)
			program, input, thread := startWaiter(t, faultArg, filepath.Join(j.mount(), id.String(), "big"))
			killed(t, server)
			lose(t, j, id)
			server = j.start(t)
			j.await(t, id)
			if !deadly {
				j.disturb(t, program, input, thread)
				if err := program.Wait(); err != nil {
					t.Errorf("the program that faulted: %v", err)
				}
				return
			}
			if _, err := io.WriteString(input, "\n"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the fetch", func() bool { _, err := os.Stat(filepath.Join(j.Dir, "asked")); return err == nil })
			begun := time.Now()
			killed(t, program)
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("a killed program ended after %v", took)
			}
			j.release(t)
		})
	}
}

// startWaiter makes this program wait for a line of input before the call of arg, and returns the thread that will make it.
func startWaiter(t *testing.T, arg, path string) (program *exec.Cmd, input io.Writer, thread int) {
	t.Helper()
	program = exec.Command(os.Args[0], arg, path)
	program.Stderr = t.Output()
	program.WaitDelay = time.Second
	input, inErr := program.StdinPipe()
	out, outErr := program.StdoutPipe()
	if err := errors.Join(inErr, outErr, program.Start()); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &thread); err != nil {
		t.Fatal(err)
	}
	return program, input, thread
}

// lose removes the blob of big from a job's store.
func lose(t *testing.T, j *serveJob, id pir.PID) {
	t.Helper()
	store, err := cas.Open(filepath.Join(j.Dir, "store"), nil)
	if err != nil {
		t.Fatal(err)
	}
	root, err := store.CID(id)
	if err := errors.Join(err, os.Remove(blob(t, store, root, "big")), store.Close()); err != nil {
		t.Fatal(err)
	}
}
