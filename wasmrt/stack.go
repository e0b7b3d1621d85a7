package wasmrt

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// errStack is the error of a program that exhausted the stack in its linear memory.
var errStack = errors.New("stack overflow: the stack in the program's memory is used up; " +
	"link the program with a larger one (-Wl,-z,stack-size=BYTES), or recurse less")

// stackError adds errStack to the error of a program that addressed below its memory because that stack was exhausted.
//
// C, C++ and Rust keep arrays, and variables whose address is taken, on a stack in linear memory, which grows down to address
// zero. No code checks its end: the address wraps around, and the trap is a memory access out of bounds. The linker makes the
// stack pointer the first global variable, and a stack pointer that wrapped points beyond the memory.
func stackError(mod api.Module, err error) error {
	inside, ok := mod.(experimental.InternalModule)
	// The text identifies the trap, since wazero exports no errors of traps.
	if !ok || !strings.Contains(err.Error(), "out of bounds memory access") || inside.NumGlobal() == 0 || mod.Memory() == nil {
		return err
	}
	g := inside.Global(0)
	if g.Type() != api.ValueTypeI32 || uint32(g.Get()) <= mod.Memory().Size() {
		return err
	}
	return fmt.Errorf("%w: %w", errStack, err)
}
