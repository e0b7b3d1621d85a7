package set

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// HeadFile is the name of the signed head at the root of a set's tree.
const HeadFile = "set.head"

// ReadHead reads the signed head of a tree. A tree without one gives an error with the code NotFound; a wrong one Damaged.
func ReadHead(tree fs.FS) (*protocol.SetHead, error) {
	info, err := lstat(tree, HeadFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, protocol.Errorf(protocol.NotFound, "the set has no signed head: %s", HeadFile).WithHint("its author signs it: nuka set sign DIR")
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return nil, damagedHead(err)
	}
	f, err := tree.Open(HeadFile)
	if err != nil {
		return nil, damagedHead(err)
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, protocol.MaxSetHead+3))
	if err != nil {
		return nil, damagedHead(err)
	}
	text, _ = bytes.CutSuffix(text, []byte("\n"))
	text, _ = bytes.CutSuffix(text, []byte("\r")) // git may have written the line end of another system
	h, err := protocol.DecodeSetHead(text)
	if err != nil {
		return nil, damagedHead(err)
	}
	return h, nil
}

func damagedHead(err error) error {
	return protocol.Errorf(protocol.Damaged, "%s: %w", HeadFile, err).WithHint("get the set again, or ask its author to sign it again: nuka set sign DIR")
}

// EncodeHead returns the text of set.head.
func EncodeHead(h *protocol.SetHead) ([]byte, error) {
	b, err := h.Encode()
	return append(b, '\n'), err
}

// Advance compares the head of a tree whose CID is root with the set that the user has, and records it in s. It returns false if the head is the one
// that s has already. s keeps its values after an error. A zero Number stands for a set that is new: it has only a signer.
//
// If the head has another signer or name, the error has the code Denied; if it goes back, Differs; if the clock says that it does not count
// now, Unavailable; if the tree is another one, Mismatch.
func (s *Set) Advance(h *protocol.SetHead, root cid.CID, now time.Time) (bool, error) {
	switch {
	case h.Signer != s.Signer:
		return false, protocol.Errorf(protocol.Denied, "set %s: its head is signed by %s, and you trust %s for it", s.Name, h.Signer, s.Signer).
			WithHint("if its author has a new key, remove the set and add it with --signer; else its origin is not to be trusted")
	case s.Number > 0 && h.Name != s.Title:
		return false, protocol.Errorf(protocol.Denied, "set %s: its head is that of the set %q of the same signer, and not of %q", s.Name, h.Name, s.Title).
			WithHint("to use that set, add it under a name of its own: nuka set add NAME WHERE")
	case h.Number < s.Number:
		return false, protocol.Errorf(protocol.Differs, "set %s: its head goes back, from number %d to %d", s.Name, s.Number, h.Number).
			WithHint("its origin offers an old state: try another origin, or ask its author; what you have stays in use")
	case h.Number == s.Number && h.Root != s.Root:
		return false, protocol.Errorf(protocol.Differs, "set %s: there are two heads of number %d", s.Name, h.Number).
			WithHint("its author, or its origin, contradicts itself; what you have stays in use")
	case !h.Fresh(now) && now.Before(h.Expires):
		return false, protocol.Errorf(protocol.Unavailable, "set %s: its head was issued %s, which is in the future", s.Name, h.Issued.UTC().Format(time.DateTime)).
			WithHint("check the clock of this machine")
	case !h.Fresh(now):
		return false, protocol.Errorf(protocol.Unavailable, "set %s: its head expired %s", s.Name, h.Expires.UTC().Format(time.DateTime)).
			WithHint("ask its author to sign the set again: nuka set sign DIR; or check the clock of this machine")
	case h.Root != root:
		return false, protocol.Errorf(protocol.Mismatch, "set %s: its tree is %s, and its head is of %s", s.Name, root, h.Root).
			WithHint("files were changed after it was signed: its author signs it again with nuka set sign DIR")
	}
	news := h.Number != s.Number
	s.Title, s.Number, s.Expires = h.Name, h.Number, h.Expires.UTC()
	return news, nil
}

// Files returns the view of a tree that a head signs: without set.head and every .git.
func Files(tree fs.FS) fs.FS { return signed{tree} }

// Hash checks a tree and returns its CID as a head names it: without set.head and every .git.
func Hash(ctx context.Context, tree fs.FS) (cid.CID, error) {
	if err := Check(tree); err != nil {
		return cid.CID{}, err
	}
	root, err := cid.HashTree(ctx, signed{tree}, nil)
	if err != nil {
		return cid.CID{}, fmt.Errorf("hash the set: %w", err)
	}
	return root, nil
}
