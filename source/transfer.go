package source

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// A transfer is one download, which may need several connections.
type transfer struct {
	f        *Fetcher
	place    place
	want     pir.Hash // checked if it is a hash of the archive
	file     *os.File
	tag      string // file with the entity tag of the bytes in file; "" disables resuming from an earlier call
	progress func(done, total int64)

	done int64 // bytes in file
	etag string
	sum  hash.Hash // over the bytes in file; nil if no hash is needed
}

// errWrongBytes is wrapped by the error about a complete download that has another hash.
var errWrongBytes = errors.New("the bytes are not those that are wanted")

// all transfers until the file is complete, and checks its hash.
func (d *transfer) all(ctx context.Context) error {
	if err := d.resume(); err != nil {
		return err
	}
	if err := d.f.retry(ctx, shownText(d.place.url), func() error { return d.run(ctx) }); err != nil {
		return err
	}
	return d.check()
}

// resume counts and hashes the bytes that an earlier transfer left in the file.
// Without the entity tag of that content, it starts again from zero.
func (d *transfer) resume() error {
	d.sum = archiveHash(d.want)
	if etag, err := os.ReadFile(d.tag); d.tag != "" && err == nil && len(etag) > 0 {
		d.etag = string(etag)
		if d.sum != nil {
			d.done, err = io.Copy(d.sum, d.file)
		} else {
			d.done, err = d.file.Seek(0, io.SeekEnd)
		}
		return err
	}
	return d.restart()
}

func (d *transfer) restart() error {
	d.done, d.sum = 0, archiveHash(d.want)
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

// run transfers over one connection, from where the last one ended.
func (d *transfer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	offset := d.done
	if d.etag == "" {
		offset = 0
	}
	resp, err := d.f.open(ctx, d.place, offset, d.etag)
	if offset > 0 && statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		return d.atEnd(err)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusPartialContent && !d.goesOn(resp) {
		return d.anew(protocol.Errorf(protocol.Unavailable, "get %s: bytes from %d on were asked for, and the answer has others", shown(resp.Request.URL), offset))
	}
	if resp.StatusCode != http.StatusPartialContent || offset == 0 {
		if err := d.restart(); err != nil {
			return err
		}
		if d.etag = resp.Header.Get("ETag"); len(d.etag) < 1 || d.etag[0] != '"' { // a weak tag does not allow ranges
			d.etag = ""
		}
		if d.tag != "" {
			if err := os.WriteFile(d.tag, []byte(d.etag), 0o600); err != nil {
				return err
			}
		}
	}
	total := int64(0)
	if resp.ContentLength > 0 {
		total = d.done + resp.ContentLength
	}
	if limit := d.f.o.Limits.Download; total > limit {
		return protocol.Errorf(protocol.Exhausted, "get %s: %d bytes are more than the limit of %d", shownText(d.place.url), total, limit)
	}
	return d.copy(resp.Body, total, func() { cancel(errStalled) })
}

// goesOn reports whether a partial response continues the bytes in the file.
func (d *transfer) goesOn(resp *http.Response) bool {
	if tag := resp.Header.Get("ETag"); tag != "" && tag != d.etag {
		return false
	}
	var first, last int64
	_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &first, &last)
	return err == nil && first == d.done && last >= first
}

// atEnd is called if the server has no bytes after those in the file.
// If the server reports this as the total size, the transfer is complete: the connection broke between the last byte and the end of the response.
func (d *transfer) atEnd(refused error) error {
	var answer *httpError
	if errors.As(refused, &answer) && answer.size == d.done {
		return nil
	}
	return d.anew(protocol.Errorf(protocol.Unavailable, "%v", refused))
}

// anew discards the bytes in the file, so that the next attempt requests everything, and returns why.
func (d *transfer) anew(why error) error {
	d.etag = ""
	if d.tag != "" {
		os.Remove(d.tag)
	}
	return why
}

var errStalled = errors.New("no byte arrived for a minute")

func (d *transfer) copy(body io.Reader, total int64, abort func()) error {
	watchdog := time.AfterFunc(d.f.stall, abort)
	defer watchdog.Stop()
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		watchdog.Reset(d.f.stall)
		if n > 0 {
			if _, werr := d.file.Write(buf[:n]); werr != nil {
				return protocol.Errorf(protocol.Exhausted, "write download: %v", werr)
			}
			if d.sum != nil {
				d.sum.Write(buf[:n])
			}
			d.done += int64(n)
			d.progress(d.done, total)
			if d.done > d.f.o.Limits.Download {
				return protocol.Errorf(protocol.Exhausted, "get %s: more than the limit of %d bytes", shownText(d.place.url), d.f.o.Limits.Download)
			}
		}
		if err == io.EOF {
			if total > 0 && d.done != total {
				return protocol.Errorf(protocol.Unavailable, "get %s: connection closed after %d of %d bytes", shownText(d.place.url), d.done, total)
			}
			return nil
		}
		if err != nil {
			return protocol.Errorf(protocol.Unavailable, "get %s: after %d bytes: %v", shownText(d.place.url), d.done, err)
		}
	}
}

// check compares the hash of the transferred bytes.
func (d *transfer) check() error {
	if d.tag != "" {
		os.Remove(d.tag)
	}
	if d.sum == nil {
		return nil
	}
	if got := pir.NewHash(d.want.Algorithm, d.sum.Sum(nil)); got != d.want {
		return &wrongBytes{mismatch(d.want, got)}
	}
	return nil
}

// wrongBytes is the error about a download with another hash, which must not be resumed.
type wrongBytes struct{ error }

func (w *wrongBytes) Unwrap() []error { return []error{w.error, errWrongBytes} }
