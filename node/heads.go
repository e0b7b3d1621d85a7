package node

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

// heads keeps the newest known head of each signer, a file each. It is safe for use by several goroutines.
type heads struct {
	dir string
	log *slog.Logger
	// news is called with each head that is newer than what was known; it must not block or call back. nil is not.
	news func(head []byte)

	mu       sync.Mutex
	known    map[protocol.Key]*protocol.Head // replaced as a whole
	backward map[protocol.Key]string         // signers that went back, and how
	ahead    map[protocol.Key]time.Duration  // signers whose clock was ahead when they were last heard
}

// openHeads reads the heads of a folder, which it makes. A file that is no head is left alone and does not count.
func openHeads(dir string, log *slog.Logger) (*heads, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	h := &heads{dir: dir, log: log, known: map[protocol.Key]*protocol.Head{}, backward: map[protocol.Key]string{}, ahead: map[protocol.Key]time.Duration{}}
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

// Known returns the newest head of each signer; it is not changed.
func (h *heads) Known() map[protocol.Key]*protocol.Head {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known
}

// Backward returns the signers that went back, each with what was seen.
func (h *heads) Backward() map[protocol.Key]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.backward)
}

// Ahead returns the signers whose clocks are ahead of this node's, each by how much when it was last heard.
func (h *heads) Ahead() map[protocol.Key]time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ahead)
}

// clock notes how far the clock of a signer is ahead, by a head that was just heard and may not count.
func (h *heads) clock(head *protocol.Head, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.known[head.Signer]; old != nil && head.Number < old.Number {
		return // a late messenger's
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

// learn keeps a head if it is newer than the one that is known, durably.
// protocol.ErrBackward: it goes back, which is noted. A head that is not fresh is refused.
func (h *heads) learn(head *protocol.Head, now time.Time) error {
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
	if h.news != nil {
		h.news(b)
	}
	return nil
}

// noteBackward keeps what a signer, or whoever brings its word, did. An old head alone is a late messenger's as a rule,
// so only two words of one number, or one after the last, are kept as evidence.
func (h *heads) noteBackward(head *protocol.Head, err error) {
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

// speak makes the next head of the node's own key over the statements that everybody may see, unless nothing has
// changed and the last one is valid for long enough. The list of the statements is hashed and not kept: no peer asks for it.
func (h *heads) speak(key ed25519.PrivateKey, statements []protocol.Attestation, now time.Time) error {
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
	return h.learn(next, now)
}

// revoke makes the last head of a key. next takes over from it; zero: nobody does.
func (h *heads) revoke(key ed25519.PrivateKey, next protocol.Key, now time.Time) error {
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
	return h.learn(last, now)
}
