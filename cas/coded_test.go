package cas_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/protocol"
)

// Coded gives errors their codes, and they can still be tested for.
func TestCoded(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code protocol.Code
		hint bool
	}{
		{fmt.Errorf("file x: %w", cas.ErrNotFound), protocol.NotFound, false},
		{fmt.Errorf("file x: %w", cas.ErrDamaged), protocol.Damaged, true},
		{errors.New("other"), protocol.Internal, false},
	} {
		got := cas.Coded(tt.err)
		e := protocol.AsError(got)
		if e.Code != tt.code || (e.Hint != "") != tt.hint || e.Message != tt.err.Error() || !errors.Is(got, tt.err) {
			t.Errorf("%v: got %v with code %s and hint %q, want %s", tt.err, got, e.Code, e.Hint, tt.code)
		}
	}
	if err := cas.Coded(nil); err != nil {
		t.Errorf("no error: got %v", err)
	}
}
