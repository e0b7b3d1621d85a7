package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

const (
	// treeCalls is the largest number of concurrent calls that the trees of a running program make.
	treeCalls = 8
	// busyTries is how often a call is repeated while the node is busy.
	busyTries = 8
)

// nodeTrees reads the trees of a program from the node on demand. It implements wasmrt.TreeReader.
// If the node ends while the program runs, the next call starts it again. If something else starts it, the reader connects too, because the
// connection keeps the program's packages from collection.
type nodeTrees struct {
	ctx     context.Context // of the calls
	connect func(context.Context) (*control.Client, error)
	keep    func(context.Context, *control.Client) error // has the node keep the packages; nil does nothing
	cache   string                                       // folder for files of a node on another machine; "" if the node is on this machine
	places  chan struct{}                                // one for each concurrent call

	watching sync.WaitGroup
	end      context.CancelFunc // of watching; nil if nothing watches

	mu     sync.Mutex
	client *control.Client // nil if the connection was lost
	known  map[string][]protocol.Entry
}

// trees returns the reader of a program's trees. It owns the client: the caller closes the reader.
func (a *app) trees(ctx context.Context, client *control.Client, program *protocol.Program, asked protocol.ProgramArgs) (*nodeTrees, error) {
	t := &nodeTrees{
		keep: func(ctx context.Context, client *control.Client) error {
			_, err := askProgram(ctx, client, asked)
			return err
		},
		ctx: context.WithoutCancel(ctx), connect: a.connect, client: client, places: make(chan struct{}, treeCalls),
		known: map[string][]protocol.Entry{},
	}
	for _, f := range program.Folders {
		t.known[f.CID] = f.Entries
	}
	if a.node != "" {
		t.cache = filepath.Join(a.home.Cache, "remote")
		if err := os.MkdirAll(t.cache, 0o700); err != nil {
			return nil, err
		}
		return t, nil
	}
	watching, end := context.WithCancel(t.ctx)
	t.watching.Go(func() { t.watch(watching, a.home.Run) })
	t.end = end
	return t, nil
}

// watchEvery is how often the reader looks for a new node. The node collects nothing for longer than that after its start.
const watchEvery = 500 * time.Millisecond

// watch connects to each node that starts in a folder, until ctx ends. It starts none: where no node runs, nothing is collected.
func (t *nodeTrees) watch(ctx context.Context, dir string) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for seen := control.Started(dir); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := control.Started(dir)
		if now.Equal(seen) || now.IsZero() {
			continue
		}
		t.mu.Lock()
		client := t.client
		t.mu.Unlock()
		if client != nil && !takes(ctx, client) { // of the node that has ended
			t.lost(client)
		}
		if _, err := t.connected(); err == nil {
			seen = now
		}
	}
}

// takes says whether a node answers soon. A node that was killed says nothing about its end.
func takes(ctx context.Context, client *control.Client) bool {
	soon, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	return client.Takes(soon)
}

// Close ends the connection. The caller must have ended the program before.
func (t *nodeTrees) Close() {
	if t.end != nil {
		t.end()
		t.watching.Wait()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		t.client.Close()
		t.client = nil
	}
}

// Folder implements wasmrt.TreeReader.
func (t *nodeTrees) Folder(key string) ([]wasmrt.Entry, error) {
	t.mu.Lock()
	entries, known := t.known[key]
	t.mu.Unlock()
	if !known {
		err := t.call(func(client *control.Client) (err error) {
			entries, err = readFolder(t.ctx, client, key)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]wasmrt.Entry, len(entries))
	for i := range entries {
		out[i] = treeEntry(&entries[i])
	}
	return out, nil
}

// readFolder asks the node for the entries of a folder.
func readFolder(ctx context.Context, client *control.Client, id string) ([]protocol.Entry, error) {
	var lines bytes.Buffer
	err := client.Call(ctx, protocol.OpFolder, protocol.FolderArgs{CID: id}, nil, &control.CallOptions{Reply: &lines})
	if err != nil {
		return nil, err
	}
	var entries []protocol.Entry
	for in := json.NewDecoder(&lines); ; {
		var e protocol.Entry
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			return entries, nil
		} else if err != nil {
			return nil, fmt.Errorf("folder %s: %w", id, err)
		}
		entries = append(entries, e)
	}
}

// treeEntry describes an entry of the node. Its key is its CID.
func treeEntry(e *protocol.Entry) wasmrt.Entry {
	kinds := map[protocol.EntryKind]wasmrt.Kind{
		protocol.KindDir: wasmrt.KindDir, protocol.KindFile: wasmrt.KindFile, protocol.KindSymlink: wasmrt.KindSymlink,
	}
	return wasmrt.Entry{Path: e.Path, Kind: kinds[e.Kind], Exec: e.Exec, Size: e.Size, Target: e.Target, File: e.File, Key: e.CID}
}

// Files implements wasmrt.TreeReader. If the node is on another machine, Files downloads the requested files and no others.
func (t *nodeTrees) Files(keys []string) ([]string, error) {
	if t.cache == "" {
		var paths []string
		err := t.call(func(client *control.Client) error {
			return client.Call(t.ctx, protocol.OpFiles, protocol.FilesArgs{CIDs: keys}, &paths, nil)
		})
		return paths, err
	}
	c, err := cid.Parse(keys[0])
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(keys))
	paths[0] = filepath.Join(t.cache, c.String())
	if _, err := os.Lstat(paths[0]); err == nil {
		return paths, nil
	}
	err = t.call(func(client *control.Client) error { return download(t.ctx, client, c, paths[0]) })
	return paths, err
}

// call makes a call and repeats it if the connection was lost or the node is busy.
func (t *nodeTrees) call(do func(*control.Client) error) error {
	t.places <- struct{}{}
	defer func() { <-t.places }()
	again := true
	for busy := 0; ; {
		client, err := t.connected()
		if err != nil {
			return err
		}
		err = do(client)
		switch code := protocol.CodeOf(err); {
		case err != nil && code == protocol.Unavailable && again:
			again = false
			t.lost(client)
		case err != nil && code == protocol.Busy && busy < busyTries:
			busy++
			time.Sleep(time.Duration(busy) * 50 * time.Millisecond)
		default:
			return err
		}
	}
}

// connected returns the connection, after opening one if there is none.
func (t *nodeTrees) connected() (*control.Client, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == nil {
		var err error
		if t.client, err = t.connect(t.ctx); err != nil {
			t.client = nil
			return nil, err
		}
		if t.keep == nil {
			return t.client, nil
		}
		if err := t.keep(t.ctx, t.client); err != nil {
			t.client.Close()
			t.client = nil
			return nil, err
		}
	}
	return t.client, nil
}

// lost drops a connection. If several goroutines report the same connection, only the first call has an effect.
func (t *nodeTrees) lost(client *control.Client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client == client {
		t.client.Close()
		t.client = nil
	}
}
