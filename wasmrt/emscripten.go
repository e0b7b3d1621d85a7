package wasmrt

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// growthNotice is what programs of Emscripten import if their memory may grow (-sSTANDALONE_WASM -sALLOW_MEMORY_GROWTH): they tell their host of it, and
// expect nothing.
const growthNotice = "emscripten_notify_memory_growth"

// emscriptenCalls are the system calls about files that Emscripten's C library leaves to JavaScript, with a letter for each argument as in hostFunc. A standalone
// program has no files but its streams: its own openat fails always. It has these calls in it all the same, for work that it does beside, such as the mode of a
// file that it wrote. Source: syscall_arch.h and standalone.c of Emscripten 3.1.
var emscriptenCalls = map[string]string{
	"chdir": "i", "chmod": "ii", "faccessat": "iiii", "fadvise64": "iIIi", "fallocate": "iiII", "fchdir": "i", "fchmod": "ii", "fchmodat2": "iiii",
	"fchown32": "iii", "fchownat": "iiiii", "fdatasync": "i", "fstatfs64": "iii", "ftruncate64": "iI", "getcwd": "ii", "getdents64": "iii",
	"linkat": "iiiii", "mknodat": "iiii", "readlinkat": "iiii", "renameat": "iiii", "rmdir": "i", "statfs64": "iii", "symlink": "ii",
	"symlinkat": "iii", "truncate64": "iI", "unlinkat": "iii", "utimensat": "iiii",
}

// instantiateEmscripten adds the module env, which standalone programs of Emscripten import beside WASI.
func instantiateEmscripten(ctx context.Context, rt wazero.Runtime) error {
	env := rt.NewHostModuleBuilder("env")
	env.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(context.Context, api.Module, []uint64) {}), valueTypes("i"), nil).Export(growthNotice)
	absent := api.GoModuleFunc(func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = api.EncodeI32(-int32(eNosys)) })
	for name, params := range emscriptenCalls {
		env.NewFunctionBuilder().WithGoModuleFunction(absent, valueTypes(params), valueTypes("i")).Export("__syscall_" + name)
	}
	_, err := env.Instantiate(ctx)
	return err
}
