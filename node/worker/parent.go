package worker

import (
	"bytes"
	"context"
	"errors"
	"slices"
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
	Code *haveCode  `json:"code,omitempty"`
	Tree *haveTree  `json:"tree,omitempty"`
	Ran  *ranNative `json:"ran,omitempty"`
	Slot bool       `json:"slot,omitempty"` // it has one slot more
}

// A parent is the node, as its build worker sees it. The worker asks it for machine code, one module at a time, about its inputs, and for
// slots.
type parent struct {
	conn    *wasmrt.Conn
	mu      sync.Mutex // one question for code
	code    chan *haveCode
	looks   looks
	natives natives
	gone    chan struct{} // closed when no further message of the node can arrive

	waits   sync.Mutex
	waiting []chan struct{} // waits for a slot, the oldest first
	asked   int             // slots that the worker asked the node for and has not received
}

func newParent(conn *wasmrt.Conn) *parent {
	p := &parent{conn: conn, code: make(chan *haveCode), looks: newLooks(), gone: make(chan struct{})}
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
		if a.Ran != nil {
			if id := p.natives.ran(a.Ran); id != 0 {
				_ = p.conn.SendValue(workerReply{Stop: id})
			}
		}
		if a.Slot {
			p.takeSlot()
		}
	}
}

var errParentGone = errors.New("the node is gone")

// slot waits for a slot beyond the build's own. The caller calls release when it no longer needs the slot.
// If a wait is cancelled, the next one takes over its request, so the node never sees more requests than there are waits.
func (p *parent) slot(ctx context.Context) (release func(), err error) {
	got := make(chan struct{}, 1)
	p.waits.Lock()
	p.waiting = append(p.waiting, got)
	ask := p.asked < len(p.waiting)
	if ask {
		p.asked++
	}
	p.waits.Unlock()
	if ask {
		err = p.conn.SendValue(workerReply{Slots: 1})
	}
	if err == nil {
		select {
		case <-got:
			return p.releaseSlot, nil
		case <-p.gone:
			err = errParentGone
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	p.waits.Lock()
	i := slices.Index(p.waiting, got)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.waits.Unlock()
	if i < 0 { // the slot arrived meanwhile
		p.releaseSlot()
	}
	return nil, err
}

// takeSlot hands a slot that the node has sent to the first wait, or gives it back if there is none.
func (p *parent) takeSlot() {
	p.waits.Lock()
	p.asked--
	wanted := len(p.waiting) > 0
	if wanted {
		p.waiting[0] <- struct{}{}
		p.waiting = slices.Delete(p.waiting, 0, 1)
	}
	p.waits.Unlock()
	if !wanted {
		p.releaseSlot()
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
