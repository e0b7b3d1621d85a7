package node

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/node/swarm"
	"github.com/MordragT/nuka/pir/cid"
)

// A tmpReceiver keeps a tree that comes from other nodes in memory until it is whole.
// TODO(#4): the store receives trees itself, in files.
type tmpReceiver struct {
	mu     sync.Mutex
	store  *cas.Store
	root   cid.CID
	blocks map[cid.CID][]byte
}

func tmpReceive(store *cas.Store, root cid.CID) swarm.Receiver {
	return &tmpReceiver{store: store, root: root, blocks: map[cid.CID][]byte{}}
}

func (r *tmpReceiver) walk(c cid.CID, size int64, nodes *[]cid.CID, leaves *[]cid.Leaf) {
	if _, ok := r.blocks[c]; !ok {
		if c.Codec() == cid.Raw {
			*leaves = append(*leaves, cid.Leaf{CID: c, Size: size})
		} else {
			*nodes = append(*nodes, c)
		}
		return
	}
	if c.Codec() == cid.Raw {
		return
	}
	n, err := cid.Decode(r.blocks[c])
	if err != nil {
		panic(err)
	}
	for i, l := range n.Links {
		s := l.Tsize
		if i < len(n.BlockSizes) {
			s = n.BlockSizes[i]
		}
		r.walk(l.CID, s, nodes, leaves)
	}
}
func (r *tmpReceiver) WantNodes() []cid.CID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var nodes []cid.CID
	var leaves []cid.Leaf
	r.walk(r.root, 0, &nodes, &leaves)
	return nodes
}
func (r *tmpReceiver) WantLeaves() []cid.Leaf {
	r.mu.Lock()
	defer r.mu.Unlock()
	var nodes []cid.CID
	var leaves []cid.Leaf
	r.walk(r.root, 0, &nodes, &leaves)
	seen := map[cid.CID]bool{}
	var out []cid.Leaf
	for _, l := range leaves {
		if !seen[l.CID] {
			out = append(out, l)
		}
		seen[l.CID] = true
	}
	return out
}
func (r *tmpReceiver) Put(b cid.Block) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocks[b.CID] = append([]byte{}, b.Data...)
	return nil
}
func (r *tmpReceiver) Progress() (int64, int64) { return 0, 0 }
func (r *tmpReceiver) Finish(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tmprecv")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := r.write(r.root, filepath.Join(dir, "out")); err != nil {
		return err
	}
	info, err := os.Lstat(filepath.Join(dir, "out"))
	if err != nil {
		return err
	}
	var got cid.CID
	if info.IsDir() {
		got, err = r.store.Import(ctx, os.DirFS(filepath.Join(dir, "out")), nil)
	} else {
		got, err = r.store.Import(ctx, os.DirFS(dir), &cas.ImportOptions{File: "out"})
	}
	if err == nil && got != r.root {
		err = fmt.Errorf("got %s want %s", got, r.root)
	}
	return err
}
func (r *tmpReceiver) write(c cid.CID, to string) error {
	if c.Codec() == cid.Raw {
		return os.WriteFile(to, r.blocks[c], 0o644)
	}
	n, err := cid.Decode(r.blocks[c])
	if err != nil {
		return err
	}
	switch n.Kind {
	case cid.KindFile:
		mode := fs.FileMode(0o644)
		if n.Exec {
			mode = 0o755
		}
		return os.WriteFile(to, r.bytes(c), mode)
	case cid.KindSymlink:
		return os.Symlink(n.Target, to)
	case cid.KindDir:
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		for _, l := range n.Links {
			if err := r.write(l.CID, filepath.Join(to, l.Name)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("tmp: no shards")
	}
	return nil
}
func (r *tmpReceiver) bytes(c cid.CID) []byte {
	if c.Codec() == cid.Raw {
		return r.blocks[c]
	}
	n, _ := cid.Decode(r.blocks[c])
	var all []byte
	for _, l := range n.Links {
		all = append(all, r.bytes(l.CID)...)
	}
	return all
}
func (r *tmpReceiver) Close() error { return nil }
