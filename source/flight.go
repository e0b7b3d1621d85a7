package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/MordragT/nuka/protocol"
)

// A flight is one download that several requests share.
// It runs as long as one of them waits for it, even if the request that began it has ended.
type flight struct {
	done   chan struct{} // closed when the download has ended
	cancel context.CancelFunc
	err    error // valid after done is closed, like file

	// file holds the downloaded bytes, which have been hashed.
	// Its name is locked until the last request leaves, so no other download writes to it.
	file *os.File

	// The Fetcher's lock protects these.
	waiting  int
	bytes    int64
	progress map[*Request]bool
}

// A fetched is a downloaded file that belongs to one request: only that request knows its name,
// and nothing writes to it any more.
type fetched struct {
	file   *os.File
	path   string
	size   int64
	commit string // of a git pack: the commit whose tree is requested
}

func (a *fetched) close() { a.file.Close() }

func openFetched(path string) (*fetched, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &fetched{file: file, path: path, size: info.Size()}, nil
}

// downloadOne downloads the bytes at p into r.Dir.
// Requests for the same bytes share one download.
func (f *Fetcher) downloadOne(ctx context.Context, p place, r *Request) (*fetched, error) {
	if f.o.Partial == "" {
		to := filepath.Join(r.Dir, "archive")
		file, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, err
		}
		d := &transfer{f: f, place: p, want: r.Hash, file: file, progress: r.progress}
		err = d.all(ctx)
		if e := file.Close(); err == nil {
			err = e
		}
		if err != nil {
			return nil, err
		}
		return openFetched(to)
	}
	if err := os.MkdirAll(f.o.Partial, 0o711); err != nil {
		return nil, err
	}
	key := flightKey(p, r)
	a, err := f.share(ctx, key, p, r)
	if errors.Is(err, errQuiet) {
		// Another connection may be faster; other requests that wait for the stalled download share this one as well.
		f.log.Info("begin a second download", "address", shownText(p.url))
		a, err = f.share(ctx, key+"-2", p, r)
	}
	return a, err
}

// quiet is how long a request waits for bytes of a download that another request began.
const quiet = 3 * time.Second

// errQuiet is returned if a download that another request began receives no bytes.
var errQuiet = errors.New("the download that is shared brings no byte")

// share waits for the download of key and puts its bytes into r.Dir.
func (f *Fetcher) share(ctx context.Context, key string, p place, r *Request) (*fetched, error) {
	for {
		fl, role := f.join(ctx, key, p, r)
		err := f.wait(ctx, fl, role == joined)
		if role == refused {
			if err != nil && ctx.Err() != nil {
				return nil, err
			}
			continue // that download was ending; now its file is free
		}
		if err == nil {
			err = fl.err
		}
		to := filepath.Join(r.Dir, "archive")
		if err == nil {
			if e := handOver(fl.file, to); e != nil {
				err = protocol.Errorf(protocol.Exhausted, "write download: %v", e)
			}
		}
		f.leave(key, fl, r)
		if err != nil {
			return nil, err
		}
		return openFetched(to)
	}
}

// wait waits for the end of fl. If impatient, it stops waiting when fl receives no bytes.
func (f *Fetcher) wait(ctx context.Context, fl *flight, impatient bool) error {
	tick := time.NewTicker(f.quiet)
	defer tick.Stop()
	before := int64(-1)
	for {
		select {
		case <-fl.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			f.mu.Lock()
			now := fl.bytes
			f.mu.Unlock()
			if impatient && now == before {
				return errQuiet
			}
			before = now
		}
	}
}

// flightKey identifies the bytes that r requests from p. An address may return other bytes for other credentials.
func flightKey(p place, r *Request) string {
	sum := sha256.New()
	put := func(text string) { sum.Write([]byte(text + "\x00")) }
	put(p.url)
	put(r.Hash.String())
	for _, name := range slices.Sorted(maps.Keys(p.header)) {
		put(name)
		for _, value := range p.header[name] {
			put(value)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// A role is the relation of a request to a download.
type role int

const (
	refused role = iota
	began
	joined
)

// join adds r to the download of key, and begins the download if there is none.
// If the download is being cancelled, join refuses and the caller must wait for its end.
func (f *Fetcher) join(ctx context.Context, key string, p place, r *Request) (*flight, role) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.flights[key]
	if fl != nil && fl.waiting == 0 {
		return fl, refused
	}
	as := joined
	if fl == nil {
		as = began
		// The download lives as long as any request waits for it, not only the request that began it.
		running, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{done: make(chan struct{}), cancel: cancel, progress: map[*Request]bool{}}
		if f.flights == nil {
			f.flights = map[string]*flight{}
		}
		f.flights[key] = fl
		request := *r
		go func() {
			defer close(fl.done)
			fl.file, fl.err = f.fly(running, key, p, &request, func(done, total int64) { f.tell(fl, done, total) })
		}()
	}
	fl.waiting++
	fl.progress[r] = true
	return fl, as
}

// tell passes progress on to every waiting request.
func (f *Fetcher) tell(fl *flight, done, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.bytes = done
	for r := range fl.progress {
		r.progress(done, total)
	}
}

// leave removes r from fl. The last request that leaves ends the download and removes its file.
func (f *Fetcher) leave(key string, fl *flight, r *Request) {
	f.mu.Lock()
	delete(fl.progress, r)
	fl.waiting--
	last := fl.waiting == 0
	f.mu.Unlock()
	if !last {
		return
	}
	fl.cancel()
	<-fl.done
	if fl.file != nil {
		removeLocked(fl.file)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flights, key)
}

// fly downloads into the file of key in the folder of unfinished downloads, and returns it locked.
// If another process is writing that file, fly uses a file of its own.
func (f *Fetcher) fly(ctx context.Context, key string, p place, r *Request, progress func(done, total int64)) (*os.File, error) {
	path := filepath.Join(f.o.Partial, key)
	file, err := openLocked(path)
	shared := err == nil
	if errors.Is(err, errLocked) {
		file, err = os.CreateTemp(f.o.Partial, key+".")
	}
	if err != nil {
		return nil, err
	}
	d := &transfer{f: f, place: p, want: r.Hash, file: file, progress: progress}
	if shared {
		d.tag = path + ".etag"
	}
	if err := d.all(ctx); err != nil {
		if !shared || errors.Is(err, errWrongBytes) {
			removeLocked(file)
		} else {
			file.Close()
		}
		return nil, err
	}
	return file, nil
}

// openLocked opens the file of an unfinished download and locks it against other processes.
// It returns errLocked if one of them has it.
func openLocked(path string) (*os.File, error) {
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(file); err != nil {
			file.Close()
			return nil, err
		}
		// The previous owner of the lock may have removed the name meanwhile.
		mine, err := file.Stat()
		if err != nil {
			file.Close()
			return nil, err
		}
		if named, err := os.Stat(path); err == nil && os.SameFile(mine, named) {
			return file, nil
		}
		file.Close()
	}
}

// handOver gives a request its own name for the downloaded file, or a copy on systems without hard links.
func handOver(file *os.File, to string) error {
	if err := os.Link(file.Name(), to); err == nil {
		mine, err1 := file.Stat()
		linked, err2 := os.Lstat(to)
		if err1 == nil && err2 == nil && os.SameFile(mine, linked) {
			return nil
		}
		if err := os.Remove(to); err != nil {
			return err
		}
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(file, 0, info.Size()))
	return errors.Join(err, out.Close())
}
