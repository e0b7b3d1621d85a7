// Linked programs, read as far as passes over them need it. Include wasm.h first.

enum { TYPES = 1, IMPORTS = 2, FUNCTIONS = 3, TABLES = 4, GLOBALS = 6, EXPORTS = 7, ELEMENTS = 9, CODE = 10, TAGS = 13 }; // kinds of sections
enum { I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c, VECTOR = 0x7b, FUNCREF = 0x70, EXNREF = 0x69, FUNC = 0x60, EMPTY = 0x40 };

struct type {
	size_t params, results; // where they are
	int64_t nparams, nresults;
};
struct program {
	struct bytes m;
	struct type *types;
	int64_t *functions; // the type of each
	int64_t ntypes, nfunctions, nimported;
};
// read_program reads a file with its types and its functions. It returns 1 if it is a program, 0 if it is none, and -1 for an error, with errno.
int read_program(const char *file, struct program *p);
// has_section finds the first section of a kind and reports whether there is one.
int has_section(const struct program *p, int kind, struct section *s);
// has_bytes reports whether a file is a module and contains these bytes.
int has_bytes(const char *file, const char *bytes, size_t n);
// room allocates n numbers or structures, all 0, and some more.
void *room(int64_t n, size_t size);
// put_zero writes the instruction for a value that is 0. It returns 0 for a type that has none.
int put_zero(struct bytes *to, int type);
// put_section writes a section and frees its content.
void put_section(struct bytes *to, int kind, struct bytes *content);
