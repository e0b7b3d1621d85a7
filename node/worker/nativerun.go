package worker

import (
	"context"
	"io"
	"sync"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// A worker runs no native program: it is confined to less than such a program needs. It asks the node, which runs the program in the build's sandbox.

// maxInput bounds the standard input of a native program: it travels in one message.
const maxInput = 32 << 20

// A runNative is a build worker's question to run a native program.
type runNative struct {
	ID    uint64   `json:"id"`
	Args  []string `json:"args"`
	Env   []string `json:"env"`
	Dir   string   `json:"dir"`
	Input []byte   `json:"input,omitempty"`
	Piped bool     `json:"piped,omitempty"` // standard input is Input, not the null device
	Merge bool     `json:"merge,omitempty"`
}

// A ranNative is a part of the output of a native program, or its end.
type ranNative struct {
	ID      uint64          `json:"id"`
	Stdout  []byte          `json:"stdout,omitempty"`
	Stderr  []byte          `json:"stderr,omitempty"`
	Done    bool            `json:"done,omitempty"`
	Exit    int             `json:"exit,omitempty"`
	Missing bool            `json:"missing,omitempty"` // there is no such program
	Error   *protocol.Error `json:"error,omitempty"`   // it did not run, or did not run to its end
}

// natives are the native programs that the node runs for its worker.
type natives struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*native
}

type native struct {
	stdout, stderr io.Writer
	failed         error // of writing the output
	ended          chan *ranNative
}

// ran takes what the node says about a program. It reports the ID of a program that is to be stopped, or 0.
func (n *natives) ran(have *ranNative) (stop uint64) {
	n.mu.Lock()
	p := n.open[have.ID]
	if have.Done {
		delete(n.open, have.ID)
	}
	n.mu.Unlock()
	if p == nil {
		return 0
	}
	for _, part := range []struct {
		to    io.Writer
		bytes []byte
	}{{p.stdout, have.Stdout}, {p.stderr, have.Stderr}} {
		if part.to == nil || len(part.bytes) == 0 || p.failed != nil {
			continue
		}
		if _, p.failed = part.to.Write(part.bytes); p.failed != nil {
			stop = have.ID
		}
	}
	if have.Done {
		p.ended <- have
		return 0
	}
	return stop
}

// run implements nu.BuildSpec.Native.
func (p *parent) run(ctx context.Context, c *nu.NativeCommand) (int, error) {
	if len(c.Input) > maxInput {
		return 0, protocol.Errorf(protocol.Exhausted, "%d MiB of standard input; a native program gets at most %d: save it to a file", len(c.Input)>>20, maxInput>>20)
	}
	q := &native{stdout: c.Stdout, stderr: c.Stderr, ended: make(chan *ranNative, 1)}
	n := &p.natives
	n.mu.Lock()
	n.last++
	id := n.last
	if n.open == nil {
		n.open = map[uint64]*native{}
	}
	n.open[id] = q
	n.mu.Unlock()
	err := p.conn.SendValue(workerReply{Run: &runNative{
		ID: id, Args: c.Args, Env: c.Env, Dir: c.Dir, Input: c.Input, Piped: c.Input != nil, Merge: c.Merge,
	}})
	if err != nil {
		return 0, err
	}
	var end *ranNative
	select {
	case end = <-q.ended:
	case <-p.gone:
		return 0, errParentGone
	}
	switch {
	case q.failed != nil:
		return 0, q.failed
	case end.Missing:
		return 0, &wasmrt.NotFoundError{Name: c.Args[0]}
	case end.Error != nil:
		return 0, end.Error
	}
	return end.Exit, nil
}
