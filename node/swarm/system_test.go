package swarm

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/MordragT/nuka/node/swarm/fetch"
	"github.com/MordragT/nuka/node/swarm/routing"
	"github.com/MordragT/nuka/node/swarm/routing/routingtest"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// A memory is a System that keeps everything in memory.
type memory struct {
	mu         sync.Mutex
	blocks     map[cid.CID][]byte
	partial    map[cid.CID]map[cid.CID][]byte // of roots that are not whole
	statements map[pir.PID][][]byte
	heads      map[protocol.Key][]byte
	pirs       map[pir.PID][]byte
	learned    [][]byte
	shared     []routing.Announcement
	// give, when set, answers for Block.
	give func(ctx context.Context, c cid.CID, b []byte, to routing.Requester) ([]byte, error)
	// asked counts the blocks that were asked for.
	asked atomic.Int64
	puts  int
	// swarming serves blocks of trees that are not whole yet as well.
	swarming bool
}

func newMemory() *memory {
	return &memory{blocks: map[cid.CID][]byte{}, partial: map[cid.CID]map[cid.CID][]byte{},
		statements: map[pir.PID][][]byte{}, heads: map[protocol.Key][]byte{}, pirs: map[pir.PID][]byte{}}
}

func (m *memory) Block(ctx context.Context, c cid.CID, to routing.Requester) ([]byte, error) {
	m.mu.Lock()
	b, ok := m.blocks[c]
	if m.swarming && !ok {
		for _, blocks := range m.partial {
			if b, ok = blocks[c]; ok {
				break
			}
		}
	}
	give := m.give
	m.asked.Add(1)
	m.mu.Unlock()
	if give != nil {
		return give(ctx, c, b, to)
	}
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}

func (m *memory) Statements(_ context.Context, ids []pir.PID, _ routing.Requester) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all [][]byte
	for _, id := range ids {
		all = append(all, m.statements[id]...)
	}
	return all, nil
}

func (m *memory) PIR(_ context.Context, id pir.PID, _ routing.Requester) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.pirs[id]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Heads(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all [][]byte
	for _, k := range keys {
		if h := m.heads[k]; h != nil {
			all = append(all, h)
		}
	}
	return all, nil
}

func (m *memory) Published(_ context.Context, keys []protocol.Key) ([][]byte, error) {
	return m.Heads(context.Background(), keys)
}

func (m *memory) LearnPublished(ctx context.Context, head []byte) error { return m.Learn(ctx, head) }

func (m *memory) Learn(_ context.Context, head []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.learned = append(m.learned, slices.Clone(head))
	return nil
}

func (m *memory) Shared(context.Context) iter.Seq2[routing.Announcement, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := slices.Clone(m.shared)
	return func(yield func(routing.Announcement, error) bool) {
		for _, a := range list {
			if !yield(a, nil) {
				return
			}
		}
	}
}

func (m *memory) Receive(_ context.Context, root cid.CID, size int64) (fetch.Receiver, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &taking{m: m, root: root, nodes: map[cid.CID]bool{}, wanted: map[cid.CID]int64{}}
	if m.partial[root] == nil {
		m.partial[root] = map[cid.CID][]byte{}
	}
	r.want(root, size)
	return r, nil
}

// A taking is a Receiver.
type taking struct {
	m           *memory
	root        cid.CID
	nodes       map[cid.CID]bool  // frontier
	wanted      map[cid.CID]int64 // leaves
	leaves      []cid.Leaf
	done, total int64
	seen        map[cid.CID]bool
}

func (r *taking) have(c cid.CID) []byte {
	if b, ok := r.m.blocks[c]; ok {
		return b
	}
	return r.m.partial[r.root][c]
}

// want adds a block and what is below it.
func (r *taking) want(c cid.CID, size int64) {
	if r.seen == nil {
		r.seen = map[cid.CID]bool{}
	}
	if r.seen[c] {
		return
	}
	b := r.have(c)
	if c.Codec() == cid.Raw {
		r.seen[c] = true
		if c == r.root {
			size = 0
		}
		r.total += size
		if b != nil {
			r.done += size
			return
		}
		r.wanted[c] = size
		r.leaves = append(r.leaves, cid.Leaf{CID: c, Size: size})
		return
	}
	if b == nil {
		r.nodes[c] = true
		return
	}
	r.seen[c] = true
	r.links(b)
}

func (r *taking) links(b []byte) {
	n, err := cid.Decode(b)
	if err != nil {
		panic(err)
	}
	for i, l := range n.Links {
		size := l.Tsize
		if n.Kind == cid.KindFile {
			size = n.BlockSizes[i]
		}
		r.want(l.CID, size)
	}
}

func (r *taking) WantNodes() []cid.CID {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	var list []cid.CID
	for c := range r.nodes {
		list = append(list, c)
	}
	return list
}

func (r *taking) WantLeaves() []cid.Leaf {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.leaves), func(l cid.Leaf) bool { _, ok := r.wanted[l.CID]; return !ok })
}

func (r *taking) Put(b cid.Block) error {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if cid.Sum(b.CID.Codec(), b.Data) != b.CID {
		panic("a block that was not compared with its hash")
	}
	size, leaf := r.wanted[b.CID]
	if !leaf && !r.nodes[b.CID] {
		return fmt.Errorf("%s is not wanted", b.CID)
	}
	r.m.puts++
	r.m.partial[r.root][b.CID] = slices.Clone(b.Data)
	if leaf {
		r.done += size
		delete(r.wanted, b.CID)
		return nil
	}
	delete(r.nodes, b.CID)
	r.seen[b.CID] = true
	r.links(b.Data)
	return nil
}

func (r *taking) Progress() (int64, int64) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if len(r.nodes) > 0 {
		return 0, 0
	}
	return r.done, r.total
}

func (r *taking) Finish(context.Context) error {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	if len(r.nodes)+len(r.wanted) > 0 {
		return errors.New("not whole")
	}
	for c, b := range r.m.partial[r.root] {
		r.m.blocks[c] = b
	}
	delete(r.m.partial, r.root)
	return nil
}

func (r *taking) Close() error { return nil }

// has reports whether the whole tree is there.
func (m *memory) has(root cid.CID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blocks[root]
	return ok && (root.Codec() == cid.Raw || func() bool {
		n, err := cid.Decode(b)
		if err != nil {
			return false
		}
		for _, l := range n.Links {
			m.mu.Unlock()
			ok := m.has(l.CID)
			m.mu.Lock()
			if !ok {
				return false
			}
		}
		return true
	}())
}

// tree makes a directory of n files of a size with random bytes.
func (m *memory) tree(t testing.TB, n, size int) cid.CID {
	t.Helper()
	r := rand.NewChaCha8([32]byte{byte(n), byte(size), byte(size >> 8)})
	var entries []cid.DirEntry
	for i := range n {
		data := make([]byte, size)
		r.Read(data)
		entries = append(entries, m.file(fmt.Sprintf("file-%06d", i), data))
	}
	root, blocks, err := cid.Dir(entries)
	if err != nil {
		t.Fatal(err)
	}
	m.add(blocks...)
	return root
}

// file keeps the blocks of a file.
func (m *memory) file(name string, data []byte) cid.DirEntry {
	f := cid.NewFile(false)
	f.Write(data)
	c, size, nodes, leaves := f.Finish()
	for _, l := range leaves {
		m.add(cid.Block{CID: l.CID, Data: data[l.Offset : l.Offset+l.Size]})
	}
	m.add(nodes...)
	return cid.DirEntry{Name: name, CID: c, Tsize: cid.Tsize(size, nodes)}
}

func (m *memory) add(blocks ...cid.Block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range blocks {
		m.blocks[b.CID] = b.Data
	}
}

// say stores a statement of a signer about each PID.
func (m *memory) say(t testing.TB, key ed25519.PrivateKey, ids ...pir.PID) {
	t.Helper()
	for _, id := range ids {
		text := routingtest.Statement(t, key, id)
		m.mu.Lock()
		m.statements[id] = append(m.statements[id], text)
		m.mu.Unlock()
	}
}

func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}
