package wasmrt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// errStack is why a program ended that used up the stack it keeps in its memory.
var errStack = errors.New("stack overflow: the stack in the program's memory is used up; " +
	"link the program with a larger one (-Wl,-z,stack-size=BYTES), or recurse less")

// stackError adds errStack to the error of a program that reached below its memory because its stack ended there.
//
// C, C++ and Rust keep arrays, and variables that have an address, in a stack of their own, which grows down to address
// zero. Nothing checks it: what overflows is the address, and the trap is one about memory. The linker makes the stack's pointer
// the first global variable, and a pointer that wrapped lies beyond the memory.
func stackError(mod api.Module, err error) error {
	inside, ok := mod.(experimental.InternalModule)
	// The text says which trap it is, because wazero exports no errors of traps.
	if !ok || !strings.Contains(err.Error(), "out of bounds memory access") || inside.NumGlobal() == 0 || mod.Memory() == nil {
		return err
	}
	g := inside.Global(0)
	if g.Type() != api.ValueTypeI32 || uint32(g.Get()) <= mod.Memory().Size() {
		return err
	}
	return fmt.Errorf("%w: %w", errStack, err)
}
