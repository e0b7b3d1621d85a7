package source

import (
	"context"
	"io"
	"net/http"
	"time"
)

// sendWatched is send with a response whose body returns an error if it delivers no bytes for a while.
func (f *Fetcher) sendWatched(req *http.Request, header http.Header) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := f.send(req.WithContext(ctx), header)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedBody{resp.Body, time.AfterFunc(f.stall, func() { cancel(errStalled) }), f.stall, ctx, cancel}
	return resp, nil
}

// A watchedBody is a response body that its timer can end.
type watchedBody struct {
	io.ReadCloser
	timer  *time.Timer
	stall  time.Duration
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (w *watchedBody) Read(b []byte) (int, error) {
	n, err := w.ReadCloser.Read(b)
	if n > 0 {
		w.timer.Reset(w.stall)
	}
	if err != nil && err != io.EOF && w.ctx.Err() != nil {
		err = context.Cause(w.ctx)
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.timer.Stop()
	err := w.ReadCloser.Close()
	w.cancel(nil)
	return err
}
