package source

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
)

// Options configures a Fetcher. A nil *Options is the zero value.
type Options struct {
	// Client finds registries; if it is nil, none is found.
	Client *Client
	// Partial is the folder for unfinished downloads that can be resumed; if it is "", downloads are resumed within one call only.
	Partial string
	// Offline refuses every request that needs the network.
	Offline bool
	// Transport replaces the network in tests; nil is the real one.
	Transport http.RoundTripper
	// Limits bounds downloads and archives. Zero fields mean the defaults.
	Limits Limits
	// Retries is how often a download is retried after a temporary failure; 0 means 4, negative means none.
	Retries int
	// Backoff is the delay before the first retry; it doubles each time. 0 means 500 ms.
	Backoff time.Duration
	// Unpack unpacks an archive, which is in a folder of this request only, into an existing folder.
	// If it is nil, this process unpacks.
	Unpack func(ctx context.Context, archive, out string, o *archive.Options) (*archive.Result, error)
	// Log receives the attempts, for operators; nil discards them.
	Log *slog.Logger
}

// Limits bounds downloads and archives.
type Limits struct {
	Download       int64 // bytes of one download; 0 means 8 GiB
	archive.Limits       // of an unpacked archive
}

func (l Limits) withDefaults() Limits {
	if l.Download == 0 {
		l.Download = 8 << 30
	}
	return l
}

// A Fetcher fetches fixed outputs. It is safe for concurrent use.
type Fetcher struct {
	o    Options
	http *http.Client
	log  *slog.Logger

	quiet, stall time.Duration // see the constants; tests use shorter times
	modules      int           // bound on the submodules of one fetch; tests use a smaller one

	mu      sync.Mutex
	flights map[string]*flight // downloads in Options.Partial
}

// New returns a Fetcher.
func New(o *Options) *Fetcher {
	f := &Fetcher{quiet: quiet, stall: stall, modules: maxSubmodules}
	if o != nil {
		f.o = *o
	}
	f.o.Limits = f.o.Limits.withDefaults()
	if f.o.Client == nil {
		f.o.Client = &Client{}
	}
	if f.o.Retries == 0 {
		f.o.Retries = 4
	}
	if f.o.Backoff == 0 {
		f.o.Backoff = 500 * time.Millisecond
	}
	f.log = f.o.Log
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	f.http = newHTTPClient(f.o.Transport)
	return f
}

// A Request is a request for one fixed output.
type Request struct {
	Origins []Origin   // tried in order
	Hash    pir.Hash   // zero accepts any content, to learn its hash
	Unpack  pir.Unpack // "" means UnpackArchive
	Strip   int
	// Dir is an empty folder. Fetch creates the output in it as the entry "out", a file or a folder,
	// and temporary files beside it.
	Dir string
	// Progress receives the bytes so far and their total (0: unknown). It must return quickly. It may be nil.
	Progress func(done, total int64)
	// Notice receives sentences about the unpacked archive that the tree does not show, such as entries that were left out.
	// It may be nil.
	Notice func(text string)
	// Registries is the requester's configuration; nil means that of this process (Options.Client).
	Registries *Registries
	// Anonymous omits the credentials of this process's configuration, because the requester is another user.
	Anonymous bool
}

// notice reports what the user should know about an unpacked archive.
func (r *Request) notice(u *archive.Result) {
	if r.Notice == nil {
		return
	}
	if u.Omitted > 0 {
		r.Notice(fmt.Sprintf("left out %d entries, which a tree cannot hold: %s", u.Omitted, strings.Join(u.LeftOut, ", ")))
	}
	for _, o := range u.Obstacles {
		r.Notice(o.String())
	}
}

func (r *Request) progress(done, total int64) {
	if r.Progress != nil {
		r.Progress(done, total)
	}
}

// Out is the name of the output in Request.Dir.
const Out = "out"

// Fetch fetches and unpacks the output and returns the hash of its tree (pir.B3).
// After an error, Dir contains nothing usable.
func (f *Fetcher) Fetch(ctx context.Context, r *Request) (pir.Hash, error) {
	if len(r.Origins) == 0 {
		return pir.Hash{}, protocol.Errorf(protocol.Unavailable, "fetch: this node knows no origin").
			WithHint("evaluate the package that fetches it: its file names the origin")
	}
	var failures []error
	for _, o := range r.Origins {
		got, err := f.fetchFrom(ctx, o, r)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return pir.Hash{}, ctx.Err()
		}
		failures = append(failures, fmt.Errorf("fetch %s: %w", o, err))
		if err := clean(r.Dir); err != nil {
			return pir.Hash{}, err
		}
	}
	return pir.Hash{}, errors.Join(failures...)
}

// clean empties dir.
func clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fetcher) fetchFrom(ctx context.Context, o Origin, r *Request) (pir.Hash, error) {
	if err := o.check(); err != nil {
		return pir.Hash{}, protocol.Errorf(protocol.Invalid, "%v", err)
	}
	k := o.Kind.find()
	if k.Local {
		return pir.Hash{}, protocol.Errorf(protocol.Unavailable, "the tree of a local path is gone from the store").
			WithHint("evaluate the package again where the path is")
	}
	if f.o.Offline {
		return pir.Hash{}, protocol.Errorf(protocol.Offline, "the network is needed and may not be used").
			WithHint("run it once without --offline")
	}
	if k.Fetch != nil {
		if done, err := k.Fetch(f, ctx, o, r); err != nil {
			return pir.Hash{}, err
		} else if done {
			return f.checkTree(ctx, r)
		}
	}
	places, err := k.Find(f, ctx, o, r.Hash, f.registries(r))
	if err != nil {
		return pir.Hash{}, err
	}
	a, err := f.download(ctx, places, r)
	if err != nil {
		return pir.Hash{}, err
	}
	defer a.close()
	if r.Hash.Algorithm == pir.H1 {
		if err := checkH1(a.file, a.size, r.Hash); err != nil {
			return pir.Hash{}, err
		}
	}
	if err := f.unpack(ctx, a, r); err != nil {
		return pir.Hash{}, err
	}
	return f.checkTree(ctx, r)
}

// checkTree computes the hash of the output on disk and compares it with the wanted one.
func (f *Fetcher) checkTree(ctx context.Context, r *Request) (pir.Hash, error) {
	id, err := HashOut(ctx, r.Dir)
	if err != nil {
		return pir.Hash{}, err
	}
	got := pir.HashOf(id)
	if r.Hash.Algorithm == pir.B3 && got != r.Hash {
		return pir.Hash{}, mismatch(r.Hash, got)
	}
	return got, nil
}

// HashOut returns the CID of the output in dir.
func HashOut(ctx context.Context, dir string) (cid.CID, error) {
	out := filepath.Join(dir, Out)
	info, err := os.Lstat(out)
	if err != nil {
		return cid.CID{}, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(out)
		if err != nil {
			return cid.CID{}, err
		}
		defer root.Close()
		return cid.HashTree(ctx, root.FS(), nil)
	}
	file, err := os.Open(out)
	if err != nil {
		return cid.CID{}, err
	}
	defer file.Close()
	b := cid.NewFile(info.Mode()&0o111 != 0)
	if _, err := io.Copy(b, file); err != nil {
		return cid.CID{}, err
	}
	id, _, _, _ := b.Finish()
	return id, nil
}

func mismatch(want, got pir.Hash) error {
	return protocol.Errorf(protocol.Mismatch, "wrong hash: want %s, got %s", want, got).
		WithHint("if the new content is what you expect, write --hash %s", got)
}

// checkH1 compares the hash of a Go module's zip. It reads the open file that is unpacked afterwards.
func checkH1(module io.ReaderAt, size int64, want pir.Hash) error {
	z, err := zip.NewReader(module, size)
	if err != nil {
		return protocol.Errorf(protocol.Invalid, "an h1: hash is of a Go module's zip: %v", err)
	}
	files := map[string]*zip.File{}
	var names []string
	for _, f := range z.File {
		files[f.Name] = f
		names = append(names, f.Name)
	}
	text, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
	if err != nil {
		return fmt.Errorf("hash module: %w", err)
	}
	got, err := pir.ParseHash(text)
	if err != nil {
		return err
	}
	if got != want {
		return mismatch(want, got)
	}
	return nil
}

// archiveHash returns the hash to compute while an archive streams in, or nil.
func archiveHash(want pir.Hash) hash.Hash {
	switch want.Algorithm {
	case pir.SHA256:
		return sha256.New()
	case pir.SHA512:
		return sha512.New()
	}
	return nil
}
