package trust

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

const (
	headSuffix     = ".head"
	backwardSuffix = ".backward"
)

// Heads keeps the newest known head of each signer, each in a file. It is safe for use by several goroutines.
type Heads struct {
	// Newer is called with each head that is newer than the one known before. It must not block or call back. nil is not called.
	// It must be set before the first call of Learn or Speak.
	Newer func(head []byte)

	dir string
	log *slog.Logger

	mu       sync.Mutex
	known    map[protocol.Key]*protocol.Head // replaced as a whole
	backward map[protocol.Key]string         // signers that went back, and how
	ahead    map[protocol.Key]time.Duration  // signers whose clock was ahead when they were last heard
}

// OpenHeads reads the heads of a folder. If the folder does not exist, OpenHeads makes it. It ignores a file that is no head.
func OpenHeads(dir string, log *slog.Logger) (*Heads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := &Heads{dir: dir, log: log, known: map[protocol.Key]*protocol.Head{}, backward: map[protocol.Key]string{}, ahead: map[protocol.Key]time.Duration{}}
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutSuffix(e.Name(), backwardSuffix); ok {
			if key, err := protocol.ParseKey(name); err == nil {
				h.backward[key] = string(b)
			}
			continue
		}
		if !strings.HasSuffix(e.Name(), headSuffix) {
			continue
		}
		head, err := protocol.DecodeHead(b)
		if err != nil || head.Signer.String()+headSuffix != e.Name() {
			log.Warn("a head is unreadable and does not count", "file", e.Name(), "error", err)
			continue
		}
		h.known[head.Signer] = head
	}
	return h, nil
}

// Known returns the newest head of each signer. The caller must not change the map.
func (h *Heads) Known() map[protocol.Key]*protocol.Head {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// Backward returns the signers that went back, each with a description of the evidence.
func (h *Heads) Backward() map[protocol.Key]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.backward)
}

// Ahead returns the signers whose clocks are ahead of this node's, each by how much when it was last heard.
func (h *Heads) Ahead() map[protocol.Key]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ahead)
}

// Clock notes how far the clock of a signer is ahead, from a head that has just arrived, even if it does not count.
func (h *Heads) Clock(head *protocol.Head, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.known[head.Signer]; old != nil && head.Number < old.Number {
		return // an old one, which a peer passed on late
	}
	ahead, before := protocol.Ahead(head.Issued, now), h.ahead[head.Signer]
	switch {
	case ahead == 0:
		delete(h.ahead, head.Signer)
		return
	case before == 0:
		h.log.Warn("the clock of a signer is ahead of this machine's: one of them is wrong", "signer", head.Signer, "ahead", ahead,
			"tolerated", ahead <= protocol.MaxSkew)
	}
	h.ahead[head.Signer] = ahead
}

// Learn keeps a head if it is newer than the known one. It is durable when Learn returns.
// protocol.ErrBackward: the head goes back, which Learn notes. A head that is not fresh is an error.
func (h *Heads) Learn(head *protocol.Head, now time.Time) error {
	if !head.Fresh(now) && !head.Revoked {
		return fmt.Errorf("head %d of %s is not valid now: from %s to %s", head.Number, head.Signer,
			head.Issued.UTC().Format(time.DateTime), head.Expires.UTC().Format(time.DateTime))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	newer, err := head.After(h.known[head.Signer])
	if errors.Is(err, protocol.ErrBackward) {
		h.noteBackward(head, err)
	}
	if err != nil || !newer {
		return err
	}
	b, err := head.Encode()
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(h.dir, head.Signer.String()+headSuffix), b); err != nil {
		return err
	}
	known := maps.Clone(h.known)
	known[head.Signer] = head
	h.known = known
	if h.Newer != nil {
		h.Newer(b)
	}
	return nil
}

// noteBackward keeps evidence against a signer. Peers may pass on an old head late, so an old head alone is no evidence:
// two heads with one number are, and a head after the last one.
func (h *Heads) noteBackward(head *protocol.Head, err error) {
	h.log.Warn("a signer goes back", "signer", head.Signer, "error", err)
	old := h.known[head.Signer]
	if head.Number < old.Number || h.backward[head.Signer] != "" {
		return
	}
	h.backward[head.Signer] = err.Error()
	if err := atomicfile.Write(filepath.Join(h.dir, head.Signer.String()+backwardSuffix), []byte(err.Error())); err != nil {
		h.log.Warn("keep the evidence", "error", err)
	}
}

// Speak makes the next head of the node's own key over its public statements, unless nothing has changed and the last head is
// valid for long enough. Speak hashes the list of the statements and does not keep it: no peer asks for it.
func (h *Heads) Speak(key ed25519.PrivateKey, statements []protocol.Attestation, now time.Time) error {
	own := protocol.KeyOf(key)
	var root cid.CID
	if len(statements) > 0 {
		list := cid.NewFile(false)
		if err := protocol.EncodeStatements(list, statements); err != nil {
			return fmt.Errorf("hash the list of statements: %w", err)
		}
		root, _, _, _ = list.Finish()
	}
	next := &protocol.Head{Number: 1, Root: root, Issued: now, Expires: now.Add(protocol.HeadLifetime)}
	if old := h.Known()[own]; old != nil {
		if old.Revoked || old.Root == root && now.Add(protocol.HeadLifetime/2).Before(old.Expires) {
			return nil
		}
		next.Number = old.Number + 1
	}
	if err := next.Sign(key); err != nil {
		return err
	}
	return h.Learn(next, now)
}

// revoke makes the last head of a key. The key next takes over from it; zero is none.
func (h *Heads) revoke(key ed25519.PrivateKey, next protocol.Key, now time.Time) error {
	last := &protocol.Head{Number: 1, Issued: now, Expires: now.Add(10 * 365 * 24 * time.Hour), Revoked: true, Next: next}
	if old := h.Known()[protocol.KeyOf(key)]; old != nil {
		if old.Revoked {
			return protocol.Errorf(protocol.Invalid, "%s was revoked already, by head %d", old.Signer, old.Number)
		}
		last.Number = old.Number + 1
	}
	if err := last.Sign(key); err != nil {
		return err
	}
	return h.Learn(last, now)
}
