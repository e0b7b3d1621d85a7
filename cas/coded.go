package cas

import (
	"errors"

	"github.com/MordragT/nuka/protocol"
)

// Coded gives ErrNotFound and ErrDamaged the codes that cross the wire, with what to do about them. It returns other errors as they are.
// The result wraps err.
func Coded(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return protocol.Errorf(protocol.NotFound, "%w", err)
	case errors.Is(err, ErrDamaged):
		return protocol.Errorf(protocol.Damaged, "%w", err).WithHint("it is in quarantine; build the package again to repair the store")
	}
	return err
}
