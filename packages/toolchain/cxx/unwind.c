// LLVM's unwinding, and what a program does with an exception that nothing catches: cc lets its first function call this.
#define _LIBUNWIND_HIDE_SYMBOLS
#define NDEBUG
#include <Unwind-wasm.c>

// What WebAssembly's instructions for exceptions name. LLVM has it in a file of its builtins.
__asm__(".tagtype __cpp_exception i32\n.globl __cpp_exception\n__cpp_exception:\n");

extern void *__cxa_begin_catch(void *exception);
extern _Noreturn void terminate(void) __asm__("_ZSt9terminatev");

_Noreturn void __cxx_uncaught(void *exception)
{
	__cxa_begin_catch(exception);
	terminate();
}
