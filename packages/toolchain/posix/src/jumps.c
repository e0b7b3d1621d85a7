// setjmp and longjmp: the host keeps a copy of the machine's stack for each buffer. setjmp.h calls the host's setjmp itself.
#include <setjmp.h>

_Noreturn void longjmp(jmp_buf buf, int v) { __nuka_longjmp(buf, v ? v : 1); }
_Noreturn void _longjmp(jmp_buf buf, int v) { __nuka_longjmp(buf, v ? v : 1); }
_Noreturn void siglongjmp(sigjmp_buf buf, int v) { __nuka_longjmp(buf, v ? v : 1); }
