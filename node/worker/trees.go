package worker

import (
	"context"
	"fmt"
	"path"
	"sync"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

// A build worker gets the roots of its inputs and no list of the entries below them. It asks for a folder when a program looks into it, and
// for the paths of blobs when a program opens a file.

const (
	// maxLooks bounds the open questions about trees of a worker. The node allows twice as many, because it counts a question until after
	// it has sent the answer.
	maxLooks = 32
	// maxLooking bounds the questions that the node works at at the same time: a folder with a million entries takes memory.
	maxLooking = 4
	// maxLookFiles is how many files one question may name.
	maxLookFiles = 64
	// pageSize is about how many bytes of entries one answer has. The others follow in further answers.
	pageSize = 256 << 10
)

// A wantTree is a question of a build worker: for the entries of a folder of its inputs, or for the paths of the blobs of files.
// It names them by CIDs from its job and from earlier answers, and by no others.
type wantTree struct {
	ID     uint64   `json:"id"` // which the answers carry
	Folder string   `json:"folder,omitempty"`
	Files  []string `json:"files,omitempty"` // the first is wanted, the others may be left out
}

// A haveTree is an answer to a wantTree, or a part of one.
type haveTree struct {
	ID      uint64          `json:"id"`
	Entries []wasmrt.Entry  `json:"entries,omitempty"`
	More    bool            `json:"more,omitempty"` // further entries follow
	Files   []string        `json:"files,omitempty"`
	Error   *protocol.Error `json:"error,omitempty"`
}

// treeEntry describes an entry of the store. Its key is its CID, by which the worker asks for the path of its blob.
func treeEntry(e cas.Entry) wasmrt.Entry {
	out := wasmrt.Entry{Path: e.Path, Kind: wasmrt.KindSymlink, Exec: e.Exec, Size: e.Size, Target: e.Target}
	switch e.Kind {
	case cas.Dir:
		out.Kind, out.Key = wasmrt.KindDir, e.CID.String()
	case cas.File:
		out.Kind, out.Key = wasmrt.KindFile, e.CID.String()
	}
	return out
}

// Blobs is the set of store operations that BlobPaths needs.
type Blobs interface {
	BlobPath(c cid.CID) (string, error)
}

// BlobPaths returns the paths of the blobs of files. The first must have one; the others, which a program may open next, are "" if they have
// none.
func BlobPaths(store Blobs, files []cid.CID) ([]string, error) {
	paths := make([]string, len(files))
	for i, c := range files {
		var err error
		if paths[i], err = store.BlobPath(c); err != nil && i == 0 {
			return nil, cas.Coded(err)
		}
	}
	return paths, nil
}

// A treeServer answers one build worker's questions about its inputs. The worker learns only of entries below their roots.
type treeServer struct {
	store  Store
	worker *wasmrt.Worker
	// found is called with the path of each file that the worker may read from now on, and its name for people. Several goroutines call it.
	found   func(file, name string)
	running *sync.WaitGroup
	looking chan struct{} // a place for each question that the node works at

	mu    sync.Mutex
	open  int                // questions without an answer
	named map[cid.CID]string // what the worker knows of and may ask for, with its name
}

func newTreeServer(store Store, worker *wasmrt.Worker, running *sync.WaitGroup, found func(file, name string)) *treeServer {
	return &treeServer{
		store: store, worker: worker, running: running, found: found,
		looking: make(chan struct{}, maxLooking), named: map[cid.CID]string{},
	}
}

// tell notes that the worker may ask for a directory or a file.
func (t *treeServer) tell(c cid.CID, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.named[c] = name
}

// answer answers a question. It does not wait for that. A question that no worker of ours asks is an error.
func (t *treeServer) answer(ctx context.Context, want *wantTree) error {
	asked := want.Files
	if want.Folder != "" {
		asked = append([]string{want.Folder}, asked...)
	}
	if len(asked) == 0 || len(asked) > maxLookFiles || want.Folder != "" && len(want.Files) > 0 {
		return fmt.Errorf("the worker asks for %d folders and files at once", len(asked))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]cid.CID, len(asked))
	for i, text := range asked {
		c, err := cid.Parse(text)
		if _, named := t.named[c]; err != nil || !named {
			return fmt.Errorf("the worker asks for %.80q, which is not one of its inputs", text)
		}
		list[i] = c
	}
	if t.open >= 2*maxLooks {
		return fmt.Errorf("the worker asks for more while %d answers are due", t.open)
	}
	t.open++
	t.running.Go(func() {
		select {
		case t.looking <- struct{}{}:
			defer func() { <-t.looking }()
		case <-ctx.Done():
		}
		err := ctx.Err()
		if err != nil {
			return // the build is over
		}
		if want.Folder != "" {
			err = t.folder(ctx, want.ID, list[0])
		} else {
			err = t.files(want.ID, list)
		}
		if err != nil {
			t.worker.Kill(err)
		}
		t.mu.Lock()
		t.open--
		t.mu.Unlock()
	})
	return nil
}

// folder sends the entries of a folder. The error is that of sending.
func (t *treeServer) folder(ctx context.Context, id uint64, c cid.CID) error {
	have, size := haveTree{ID: id, More: true}, 0
	for e, err := range t.store.Folder(ctx, c) {
		if err != nil {
			return t.send(&haveTree{ID: id, Error: protocol.AsError(cas.Coded(err))})
		}
		if e.Kind != cas.Symlink {
			t.tell(e.CID, e.Path)
		}
		have.Entries = append(have.Entries, treeEntry(e))
		if size += len(e.Path) + len(e.Target) + 128; size >= pageSize {
			if err := t.send(&have); err != nil {
				return err
			}
			have.Entries, size = have.Entries[:0], 0
		}
	}
	have.More = false
	return t.send(&have)
}

// files sends the paths of the blobs of files. The error is that of sending.
func (t *treeServer) files(id uint64, list []cid.CID) error {
	paths, err := BlobPaths(t.store, list)
	if err != nil {
		return t.send(&haveTree{ID: id, Error: protocol.AsError(err)})
	}
	for i, p := range paths {
		if p != "" {
			t.mu.Lock()
			name := t.named[list[i]]
			t.mu.Unlock()
			t.found(p, path.Base(name))
		}
	}
	return t.send(&haveTree{ID: id, Files: paths})
}

func (t *treeServer) send(have *haveTree) error { return t.worker.SendValue(parentAnswer{Tree: have}) }

// looks are the questions about trees that a build worker has asked.
type looks struct {
	places chan struct{} // a place for each
	mu     sync.Mutex
	last   uint64
	open   map[uint64]*look
}

// A look is one question, and what the node has answered so far.
type look struct {
	have haveTree
	done chan struct{}
}

func newLooks() looks { return looks{places: make(chan struct{}, maxLooks), open: map[uint64]*look{}} }

// told takes an answer, or a part of one.
func (l *looks) told(have *haveTree) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.open[have.ID]
	if q == nil {
		return
	}
	have.Entries = append(q.have.Entries, have.Entries...)
	if q.have = *have; !have.More {
		delete(l.open, have.ID)
		close(q.done)
	}
}

// look asks the node and waits for the answer.
func (p *parent) look(want *wantTree) (*haveTree, error) {
	select {
	case p.looks.places <- struct{}{}:
		defer func() { <-p.looks.places }()
	case <-p.gone:
		return nil, errParentGone
	}
	q := &look{done: make(chan struct{})}
	p.looks.mu.Lock()
	p.looks.last++
	want.ID = p.looks.last
	p.looks.open[want.ID] = q
	p.looks.mu.Unlock()
	if err := p.conn.SendValue(workerReply{Look: want}); err != nil {
		return nil, err
	}
	select {
	case <-q.done:
	case <-p.gone:
		return nil, errParentGone
	}
	if q.have.Error != nil {
		return nil, q.have.Error
	}
	return &q.have, nil
}

// Folder implements wasmrt.TreeReader.
func (p *parent) Folder(key string) ([]wasmrt.Entry, error) {
	have, err := p.look(&wantTree{Folder: key})
	if err != nil {
		return nil, err
	}
	return have.Entries, nil
}

// Files implements wasmrt.TreeReader.
func (p *parent) Files(keys []string) ([]string, error) {
	have, err := p.look(&wantTree{Files: keys})
	if err != nil {
		return nil, err
	}
	return have.Files, nil
}
