package ecosystem

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestStream checks that the end of a file is held back until it was compared.
func TestStream(t *testing.T) {
	for _, chunk := range []int{1, 4 << 10, holdBack, 3 * holdBack} {
		w := httptest.NewRecorder()
		content := bytes.Repeat([]byte("x"), 10*holdBack)
		s := &stream{w: w, r: httptest.NewRequest(http.MethodGet, "/", nil), length: int64(len(content))}
		for at := 0; at < len(content); at += chunk {
			if _, err := s.Write(content[at:min(at+chunk, len(content))]); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.Body.Len(); n > len(content)-holdBack || n < len(content)/2 {
			t.Errorf("%d bytes at a time: %d of %d bytes were passed on", chunk, n, len(content))
		}
		func() {
			defer func() {
				if recover() != http.ErrAbortHandler {
					t.Error("the connection was not cut")
				}
			}()
			s.finish(false)
		}()
		if !s.finish(true) || w.Body.Len() != len(content) {
			t.Errorf("%d bytes arrived", w.Body.Len())
		}
	}
}
