package ecosystem

import (
	"fmt"
	"net/http"
)

// A stream passes a file on to the client while it comes, and holds its end back until the hash was compared.
// A client that gets no end does not use what it has.
type stream struct {
	w       http.ResponseWriter
	r       *http.Request
	adapter Adapter
	length  int64 // of the file; it is not passed on while it comes if this is not known
	begun   bool
	held    []byte
}

const holdBack = 32 << 10

// Write never fails: a client that is gone cancels the context of its request.
func (s *stream) Write(p []byte) (int, error) {
	if s.length <= 0 || s.r.Method != http.MethodGet {
		return len(p), nil
	}
	for _, name := range []string{"Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		if s.r.Header.Get(name) != "" {
			return len(p), nil
		}
	}
	s.held = append(s.held, p...)
	if over := len(s.held) - holdBack; over >= holdBack {
		if !s.begun {
			s.begun = true
			s.w.Header().Set("Content-Type", "application/octet-stream")
			s.w.Header().Set("Content-Length", fmt.Sprint(s.length))
			noStore(s.adapter, s.w.Header())
		}
		_, _ = s.w.Write(s.held[:over])
		s.held = append(s.held[:0], s.held[over:]...)
	}
	return len(p), nil
}

// finish passes on the end of the file if it is the right one, and cuts the connection if not. It returns false if nothing was passed on yet.
func (s *stream) finish(right bool) bool {
	if !s.begun {
		return false
	}
	if !right {
		panic(http.ErrAbortHandler)
	}
	_, _ = s.w.Write(s.held)
	return true
}
