package fsmount

import (
	"container/list"
	"context"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/MordragT/nuka/pir/cid"
)

// A treeCache keeps the metadata of the trees that were used last. A tree that it has dropped is loaded again when the kernel asks.
// Methods may be called from many goroutines.
type treeCache struct {
	store  Store
	budget int64 // bytes

	mu      sync.Mutex
	trees   map[cid.CID]*list.Element // of cachedTree
	recent  list.List                 // the tree that was used last at the front
	bytes   int64
	loading singleflight.Group
}

type cachedTree struct {
	cid  cid.CID
	tree *tree
}

func newTreeCache(s Store, budget int64) *treeCache {
	return &treeCache{store: s, budget: budget, trees: map[cid.CID]*list.Element{}}
}

// get returns a tree, and loads it if needed. Callers that want the same tree share the work.
func (c *treeCache) get(ctx context.Context, root cid.CID) (*tree, error) {
	if t := c.cached(root); t != nil {
		return t, nil
	}
	v, err, _ := c.loading.Do(root.String(), func() (any, error) {
		if t := c.cached(root); t != nil {
			return t, nil
		}
		t, err := loadTree(ctx, c.store, root)
		if err == nil {
			c.put(root, t)
		}
		return t, err
	})
	if err != nil {
		return nil, err
	}
	return v.(*tree), nil
}

func (c *treeCache) cached(root cid.CID) *tree {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.trees[root]
	if e == nil {
		return nil
	}
	if c.recent.Front() != e {
		c.recent.MoveToFront(e)
	}
	return e.Value.(*cachedTree).tree
}

func (c *treeCache) put(root cid.CID, t *tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trees[root] = c.recent.PushFront(&cachedTree{root, t})
	c.bytes += t.bytes()
	for c.bytes > c.budget && c.recent.Len() > 1 {
		old := c.recent.Remove(c.recent.Back()).(*cachedTree)
		delete(c.trees, old.cid)
		c.bytes -= old.tree.bytes()
	}
}
