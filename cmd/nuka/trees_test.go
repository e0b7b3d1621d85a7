package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/wasmrt"
)

type node func(call *control.Call) (any, error)

func (n node) Handle(_ context.Context, _ control.Actor, call *control.Call) (any, error) {
	return n(call)
}

// serve runs a node in a folder that answers calls with n, until the caller calls stop.
func (n node) serve(t *testing.T, dir string) (stop func()) {
	t.Helper()
	enrolled, err := control.OpenEnrolled(filepath.Join(dir, "enrolled"))
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, &control.ServerOptions{Dir: dir, Key: key, Enrolled: enrolled, Handler: n, Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// treesOf returns the trees of a node. If cache is a folder, it reads them as a light peer on another machine does.
func treesOf(t *testing.T, dir, cache string) *nodeTrees {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trees := &nodeTrees{
		ctx: t.Context(), cache: cache, places: make(chan struct{}, treeCalls),
		connect: func(ctx context.Context) (*control.Client, error) { return control.Dial(ctx, dir, key) },
	}
	t.Cleanup(trees.Close)
	return trees
}

// shortDir returns a folder whose path is short enough for a socket in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "n") //nolint:usetesting // short: the name of a socket has to fit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// If a foreign node names files outside of the cache, or sends bytes that do not match the CID, the light peer reads neither.
func TestTreesOfAHostileNode(t *testing.T) {
	dir, cache := shortDir(t), filepath.Join(t.TempDir(), "cache")
	secret := filepath.Join(filepath.Dir(cache), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	good, large := []byte("what was asked for"), slices.Repeat([]byte("0123456789abcdef"), 100_000)
	fileOf := func(b []byte, exec bool) string {
		f := cid.NewFile(exec)
		f.Write(b) //nolint:errcheck // never fails
		c, _, _, _ := f.Finish()
		return c.String()
	}
	sent := map[string][]byte{
		fileOf(good, false): good, fileOf(good, true): good, fileOf(large, false): large, fileOf(large, true): large,
		fileOf([]byte("other"), false): good, fileOf(nil, true): nil, fileOf([]byte("none"), true): nil,
	}
	node(func(call *control.Call) (any, error) {
		var args protocol.PathArgs
		if err := json.Unmarshal(call.Args, &args); err != nil {
			return nil, err
		}
		_, err := call.Reply.Write(sent[args.ID])
		return nil, err
	}).serve(t, dir)
	trees := treesOf(t, dir, cache)
	for _, c := range []struct {
		key  string
		want []byte
	}{
		{fileOf(good, false), good}, {fileOf(good, true), good}, {fileOf(large, false), large}, {fileOf(large, true), large}, {fileOf(nil, true), nil},
	} {
		for range 2 { // the second time from the cache
			paths, err := trees.Files([]string{c.key, c.key})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(paths[0]); err != nil || !slices.Equal(got, c.want) || filepath.Dir(paths[0]) != cache {
				t.Errorf("%s: got %d bytes, %v", paths, len(got), err)
			}
		}
		delete(sent, c.key)
	}
	for _, key := range []string{"../secret", secret, "", ".", fileOf([]byte("other"), false), fileOf([]byte("none"), true)} {
		if paths, err := trees.Files([]string{key}); err == nil {
			t.Errorf("%q: got %q, want an error", key, paths)
		}
	}
	list, err := os.ReadDir(cache)
	if err != nil || len(list) != 5 {
		t.Errorf("the cache has %v, %v, want 5 files", list, err)
	}
}

// If a node ends or is busy, the light peer repeats the call a bounded number of times.
func TestTreesAskAgain(t *testing.T) {
	dir := shortDir(t)
	var mu sync.Mutex
	var busy, calls int
	answer := node(func(call *control.Call) (any, error) {
		mu.Lock()
		defer mu.Unlock()
		if calls++; busy > 0 {
			busy--
			return nil, protocol.Errorf(protocol.Busy, "not now")
		}
		if call.Op == protocol.OpFiles {
			return []string{"/file", ""}, nil
		}
		return nil, json.NewEncoder(call.Reply).Encode(protocol.Entry{Path: "name", Kind: protocol.KindFile, Size: 3, CID: "c"})
	})
	stop := answer.serve(t, dir)
	trees := treesOf(t, dir, "")
	look := func() error {
		entries, err := trees.Folder("x")
		if err == nil && (len(entries) != 1 || entries[0].Path != "name" || entries[0].Kind != wasmrt.KindFile || entries[0].Key != "c") {
			t.Errorf("got %+v", entries)
		}
		return err
	}
	if err := look(); err != nil {
		t.Error(err)
	}
	if paths, err := trees.Files([]string{"c", "d"}); err != nil || strings.Join(paths, ",") != "/file," {
		t.Errorf("got %q, %v", paths, err)
	}
	busy, calls = 3, 0
	if err := look(); err != nil || calls != 4 {
		t.Errorf("a busy node: got %v after %d calls, want 4", err, calls)
	}
	stop()
	if err := look(); err == nil {
		t.Error("without a node: got no error")
	}
	answer.serve(t, dir)
	if err := look(); err != nil {
		t.Errorf("the next node: %v", err)
	}
}
