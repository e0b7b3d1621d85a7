package source

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MordragT/nuka/pir"
)

// randomTar returns a tar with one file of random bytes, top/data, and these bytes.
func randomTar(t *testing.T) (archive, content []byte) {
	content = make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(content) //nolint:errcheck // never fails
	return makeTar(t, file("top/data", string(content))), content
}

// fetchTar fetches the archive at address and compares the unpacked bytes with content.
func fetchTar(ctx context.Context, f *Fetcher, address string, archive, content []byte, strip int, dir string) error {
	_, err := f.Fetch(ctx, &Request{
		Origins: []Origin{{Kind: URL, URL: address}}, Hash: sha(archive), Unpack: pir.UnpackArchive, Strip: strip, Dir: dir,
	})
	if err != nil {
		return err
	}
	at := filepath.Join(dir, Out, "top", "data")
	if strip == 1 {
		at = filepath.Join(dir, Out, "data")
	}
	got, err := os.ReadFile(at)
	if err == nil && !bytes.Equal(got, content) {
		return errors.New("wrong bytes with the right hash")
	}
	return err
}

// waitFor waits until n requests share the one download of f.
func waitFor(t *testing.T, f *Fetcher, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		f.mu.Lock()
		for _, fl := range f.flights {
			if fl.waiting == n {
				f.mu.Unlock()
				return
			}
		}
		f.mu.Unlock()
	}
	t.Fatalf("there are not %d requests for one download", n)
}

func emptyDir(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOneDownload makes eight concurrent requests for one archive, which unpack it differently.
func TestOneDownload(t *testing.T) {
	archive, content := randomTar(t)
	release := make(chan struct{})
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Write(archive[:len(archive)/2])
		w.(http.Flusher).Flush()
		<-release
		w.Write(archive[len(archive)/2:])
	}))
	defer server.Close()
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	partial := t.TempDir()
	f := fetcher(Options{Partial: partial})
	f.quiet = time.Minute
	var all sync.WaitGroup
	for i := range 8 {
		dir := t.TempDir()
		all.Go(func() {
			if err := fetchTar(t.Context(), f, server.URL+"/x.tar", archive, content, i%2, dir); err != nil {
				t.Error(err)
			}
		})
	}
	waitFor(t, f, 8)
	let()
	all.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("got %d downloads of one archive, want 1", n)
	}
	emptyDir(t, partial)
}

// TestDownloadOutlivesItsBeginner cancels the request that began the download; another waiting request gets the bytes.
func TestDownloadOutlivesItsBeginner(t *testing.T) {
	archive, content := randomTar(t)
	release := make(chan struct{})
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Write(archive[:len(archive)/2])
		w.(http.Flusher).Flush()
		<-release
		w.Write(archive[len(archive)/2:])
	}))
	defer server.Close()
	partial := t.TempDir()
	f := fetcher(Options{Partial: partial})
	f.quiet = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	one, two := t.TempDir(), t.TempDir()
	go func() { first <- fetchTar(ctx, f, server.URL, archive, content, 0, one) }()
	waitFor(t, f, 1)
	go func() { second <- fetchTar(t.Context(), f, server.URL, archive, content, 0, two) }()
	waitFor(t, f, 2)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: got %v, want to be canceled", err)
	}
	close(release)
	if err := <-second; err != nil || requests.Load() != 1 {
		t.Errorf("the second: %v after %d requests, want none more than 1", err, requests.Load())
	}
	emptyDir(t, partial)

	// When no request waits any more, the download ends.
	ctx, cancel = context.WithCancel(t.Context())
	release = make(chan struct{})
	defer close(release)
	go func() { first <- fetchTar(ctx, f, server.URL, archive, content, 0, one) }()
	waitFor(t, f, 1)
	cancel()
	<-first
	if len(f.flights) != 0 {
		t.Errorf("%d downloads go on", len(f.flights))
	}
}

// TestDownloadOfTwoProcesses lets two fetchers that share a folder download the same archive at the same time.
// A lock on a file works between two opens of it as it does between two processes.
func TestDownloadOfTwoProcesses(t *testing.T) {
	archive, content := randomTar(t)
	half, quarter := len(archive)/2, len(archive)/4
	second, release := make(chan struct{}), make(chan struct{})
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		flush := w.(http.Flusher).Flush
		if n.Add(1) == 1 {
			w.Write(archive[:half])
			flush()
			<-second
			w.Write(archive[half:])
			return
		}
		w.Write(archive[:quarter])
		flush()
		close(second)
		<-release
		w.Write(archive[quarter:])
	}))
	defer server.Close()
	partial := t.TempDir()
	one, two := fetcher(Options{Partial: partial, Retries: -1}), fetcher(Options{Partial: partial, Retries: -1})
	dirOne, dirTwo := t.TempDir(), t.TempDir()
	first, other := make(chan error, 1), make(chan error, 1)
	go func() { first <- fetchTar(t.Context(), one, server.URL, archive, content, 0, dirOne) }()
	for range 2000 {
		if left, _ := os.ReadDir(partial); n.Load() == 1 && len(left) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	go func() { other <- fetchTar(t.Context(), two, server.URL, archive, content, 1, dirTwo) }()
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
	close(release)
	if err := <-other; err != nil {
		t.Errorf("the other: %v", err)
	}
	emptyDir(t, partial)
}

// TestQuietDownload shares a download whose server sends nothing until a second request.
func TestQuietDownload(t *testing.T) {
	archive, content := randomTar(t)
	second := make(chan struct{})
	var n atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.Write(archive[:len(archive)/2])
			w.(http.Flusher).Flush()
			<-second
			w.Write(archive[len(archive)/2:])
			return
		}
		close(second)
		w.Write(archive)
	}))
	defer server.Close()
	f := fetcher(Options{Partial: t.TempDir(), Retries: -1})
	f.quiet = 20 * time.Millisecond
	done := make(chan error, 2)
	for _, dir := range []string{t.TempDir(), t.TempDir()} {
		go func() { done <- fetchTar(t.Context(), f, server.URL, archive, content, 0, dir) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
