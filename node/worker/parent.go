package worker

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/wasmrt"
)

// A wantCode is a build worker's question for machine code: of a file of its inputs, or of the embedded Nushell if File is empty.
type wantCode struct {
	File  string `json:"file,omitempty"`
	Again bool   `json:"again,omitempty"`
}

// haveCode answers a wantCode. With an error the worker compiles for itself.
type haveCode struct {
	Error string `json:"error,omitempty"`
}

// A parentAnswer is a message of the node to a build worker.
type parentAnswer struct {
	Code *haveCode `json:"code,omitempty"`
	Tree *haveTree `json:"tree,omitempty"`
	Slot bool      `json:"slot,omitempty"` // it has one slot more
}

// A parent is the node, as its build worker sees it. The worker asks it for machine code, one module at a time, about its inputs, and for
// slots.
type parent struct {
	conn  *wasmrt.Conn
	mu    sync.Mutex // one question for code
	code  chan *haveCode
	looks looks
	slots chan struct{}
	gone  chan struct{} // closed when no further message of the node can arrive
}

func newParent(conn *wasmrt.Conn) *parent {
	p := &parent{conn: conn, code: make(chan *haveCode), looks: newLooks(), slots: make(chan struct{}), gone: make(chan struct{})}
	go p.listen()
	return p
}

func (p *parent) listen() {
	defer close(p.gone)
	for {
		var a parentAnswer
		if err := p.conn.RecvValue(&a); err != nil {
			return
		}
		if a.Code != nil {
			p.code <- a.Code
		}
		if a.Tree != nil {
			p.looks.told(a.Tree)
		}
		if a.Slot {
			p.slots <- struct{}{}
		}
	}
}

var errParentGone = errors.New("the node is gone")

// slot waits for a slot beyond the build's own. The caller calls release when it needs the slot no more.
func (p *parent) slot(ctx context.Context) (release func(), err error) {
	if err := p.conn.SendValue(workerReply{Slots: 1}); err != nil {
		return nil, err
	}
	select {
	case <-p.slots:
		return p.releaseSlot, nil
	case <-p.gone:
		return nil, errParentGone
	case <-ctx.Done():
		go func() { // the node still sends the slot, which then goes back
			select {
			case <-p.slots:
				p.releaseSlot()
			case <-p.gone:
			}
		}()
		return nil, ctx.Err()
	}
}

// releaseSlot gives a slot back. It ignores errors: without a node there are no slots.
func (p *parent) releaseSlot() { _ = p.conn.SendValue(workerReply{Slots: -1}) }

func (p *parent) ask(_ context.Context, missing *wasmrt.Missing) error {
	if missing.File == "" {
		// The worker compiles a module that the build has made by itself.
		if engine, err := nu.EngineCode(); err != nil || !bytes.Equal(engine, missing.Code) {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conn.SendValue(workerReply{Want: &wantCode{File: missing.File, Again: missing.Again}}); err != nil {
		return err
	}
	select {
	case have := <-p.code:
		if have.Error != "" {
			return errors.New(have.Error)
		}
		return nil
	case <-p.gone:
		return errParentGone
	}
}
