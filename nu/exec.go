package nu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/MordragT/nuka/wasmrt"
	"golang.org/x/sync/errgroup"
)

const (
	// maxCapture bounds the output of one program that a script captures.
	maxCapture = 128 << 20
	// tailSize is how much of the end of a failing program's error output a message shows.
	tailSize = 4 << 10
)

// building is the host's side of one build.
type building struct {
	spec           *BuildSpec
	stdout, stderr *lockedWriter
	print          *scriptWriter // stdout of the script itself

	mu  sync.Mutex
	err error
}

// end records an error that no script may catch.
func (b *building) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
}

func (b *building) fatal() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// execRequest is one program to run.
type execRequest struct {
	Argv   []string          `json:"argv"`
	Env    map[string]string `json:"env"`
	Cwd    string            `json:"cwd"`
	Stdin  []byte            `json:"stdin"`
	Stdout string            `json:"stdout"` // capture, log or null
	Stderr string            `json:"stderr"`
	Merge  bool              `json:"merge"` // one stream for both
}

// execReply is the result of a program. Exit is nil if it did not run.
type execReply struct {
	Exit   *int   `json:"exit"`
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	Tail   []byte `json:"tail,omitempty"`
}

func (b *building) host(ctx context.Context, raw []byte) []byte {
	var q hostRequest
	if err := json.Unmarshal(raw, &q); err != nil {
		return hostAnswer(nil, err)
	}
	return hostAnswer(b.do(ctx, &q))
}

func (b *building) do(ctx context.Context, q *hostRequest) (any, error) {
	switch q.Op {
	case "exec":
		var r execRequest
		if err := json.Unmarshal(q.Arg, &r); err != nil {
			return nil, err
		}
		return b.exec(ctx, &r)
	case "exec_all":
		var r struct {
			Commands []execRequest `json:"commands"`
			Keep     bool          `json:"keep"`
			Jobs     int           `json:"jobs"`
		}
		if err := json.Unmarshal(q.Arg, &r); err != nil {
			return nil, err
		}
		return b.execAll(ctx, r.Commands, r.Keep, r.Jobs)
	case "print":
		var r struct{ Text string }
		if err := json.Unmarshal(q.Arg, &r); err != nil {
			return nil, err
		}
		_, err := io.WriteString(b.print, r.Text)
		return "", err
	case "unpack":
		var r Unpacking
		if err := json.Unmarshal(q.Arg, &r); err != nil {
			return nil, err
		}
		if b.spec.Unpack == nil {
			return nil, refuse("", "archives cannot be unpacked here")
		}
		return "", b.spec.Unpack(ctx, &r)
	case "stat", "chmod":
		var r struct {
			Path string `json:"path"`
			Exec bool   `json:"exec"`
		}
		if err := json.Unmarshal(q.Arg, &r); err != nil {
			return nil, err
		}
		if q.Op == "chmod" {
			return "", b.spec.FS.Chmod(r.Path, r.Exec)
		}
		info, err := b.spec.FS.Stat(r.Path)
		return map[string]bool{"exec": info.Exec}, err
	}
	return nil, refuse("call it outside the build closure", "%s is not for builds", q.Op)
}

// exec runs one program. It returns an error only if the program could not run.
func (b *building) exec(ctx context.Context, r *execRequest) (*execReply, error) {
	tail := &tailWriter{}
	var stdout, stderr capture
	c := &wasmrt.Command{Args: r.Argv, Dir: r.Cwd, Env: environ(r.Env)}
	if r.Stdin != nil {
		c.Stdin = bytes.NewReader(r.Stdin)
	}
	pick := func(to string, buf *capture, log io.Writer) io.Writer {
		switch to {
		case "capture":
			return buf
		case "null":
			return nil
		}
		return log
	}
	c.Stdout = pick(r.Stdout, &stdout, b.stdout)
	c.Stderr = pick(r.Stderr, &stderr, b.stderr)
	if r.Merge {
		c.Stderr = c.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = tail
	} else if !r.Merge {
		c.Stderr = io.MultiWriter(c.Stderr, tail)
	}
	if b.spec.Instead != nil {
		err := errors.Join(b.spec.Instead(ctx, c), ErrInstead)
		b.end(err)
		return nil, err
	}
	start := time.Now()
	b.tell(BuildEvent{Args: r.Argv})
	exit, err := b.run(ctx, r, c)
	b.tell(BuildEvent{Args: r.Argv, Ended: true, Exit: exit, Took: time.Since(start)})
	if err := b.notRun(ctx, r, err); err != nil {
		return nil, err
	}
	var trap *wasmrt.TrapError
	if errors.As(err, &trap) {
		fmt.Fprintf(tail, "nuka: %v\n", trap)
		if exit == 0 {
			exit = wasmrt.ExitTrap
		}
	}
	return &execReply{Exit: &exit, Stdout: stdout.b.Bytes(), Stderr: stderr.b.Bytes(), Tail: tail.b}, nil
}

// notRun turns the errors of Exec other than a program's own failure into refusals.
func (b *building) notRun(ctx context.Context, r *execRequest, err error) error {
	var trap *wasmrt.TrapError
	var missing *wasmrt.NotFoundError
	var limit *wasmrt.LimitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		b.end(context.Cause(ctx))
		return context.Cause(ctx)
	case errors.As(err, &limit):
		b.end(limit)
		return refuse("", "^%s: %s", r.Argv[0], limit.What)
	case errors.As(err, &missing):
		hint := "programs are looked up in the bin folders of `packages`: is its package listed?"
		if b.spec.Native != nil {
			hint = "programs are looked up in the bin folders of `packages` and in the runtime: does it have the package of the program?"
		}
		return refuse(hint, "%v", err)
	case errors.As(err, &trap):
		return nil
	}
	return refuse("", "%v", err)
}

// execAll runs programs concurrently. Unless keep is set, it starts none after one has failed.
func (b *building) execAll(ctx context.Context, commands []execRequest, keep bool, jobs int) ([]execReply, error) {
	if most := max(1, b.spec.Jobs); jobs <= 0 || jobs > most {
		jobs = most
	}
	replies := make([]execReply, len(commands))
	var g errgroup.Group
	g.SetLimit(jobs)
	var mu sync.Mutex
	failed := false
	own := make(chan struct{}, 1) // the slot that the build holds
	for i := range commands {
		g.Go(func() error {
			release, err := b.slot(ctx, own)
			if err != nil {
				return err
			}
			defer release()
			mu.Lock()
			stop := failed
			mu.Unlock()
			if stop || ctx.Err() != nil {
				return nil
			}
			commands[i].Stdout, commands[i].Stderr = "capture", "capture"
			r, err := b.exec(ctx, &commands[i])
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = true
				return err
			}
			failed = failed || *r.Exit != 0 && !keep
			replies[i] = *r
			if len(r.Stderr) == 0 {
				replies[i].Stderr = r.Tail // the reason why it was ended
			}
			return nil
		})
	}
	err := g.Wait()
	// The log has the order of the list, not the order in which programs finish.
	for _, r := range replies {
		_, _ = b.stdout.Write(r.Stdout)
		_, _ = b.stderr.Write(r.Stderr)
	}
	if err != nil {
		return nil, err
	}
	return replies, nil
}

// slot waits for a slot for one of several programs: the slot of the build, or another one of the machine.
func (b *building) slot(ctx context.Context, own chan struct{}) (release func(), err error) {
	if b.spec.Slot == nil {
		return func() {}, nil
	}
	giveBack := func() { <-own }
	select {
	case own <- struct{}{}:
		return giveBack, nil
	default:
	}
	type taken struct {
		release func()
		err     error
	}
	other := make(chan taken, 1)
	wait, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		release, err := b.spec.Slot(wait)
		other <- taken{release, err}
	}()
	select {
	case t := <-other:
		return t.release, t.err
	case own <- struct{}{}:
		cancel()
		if t := <-other; t.err == nil {
			t.release()
		}
		return giveBack, nil
	}
}

func (b *building) tell(e BuildEvent) {
	if b.spec.Event != nil {
		b.spec.Event(e)
	}
}

func environ(env map[string]string) []string {
	out := []string{}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// capture keeps a program's output, up to a limit. Both streams of a program may share it.
type capture struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *capture) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.b.Len()+len(p) > maxCapture {
		return 0, fmt.Errorf("more than %d MiB of output for a script to read: save it to a file", maxCapture>>20)
	}
	return c.b.Write(p)
}

// tailWriter keeps the end of its input.
type tailWriter struct{ b []byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if n := len(t.b) - tailSize; n > tailSize {
		t.b = append(t.b[:0], t.b[n:]...)
	}
	return len(p), nil
}
