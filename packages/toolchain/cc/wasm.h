// Modules of WebAssembly in memory.
#include <stddef.h>
#include <stdint.h>

// A growing or whole text of bytes.
struct bytes {
	uint8_t *b;
	size_t n, cap;
};
// read_file reads a file into memory, write_file replaces its content. They return -1 for an error, with errno.
int read_file(const char *file, struct bytes *to);
int write_file(const char *file, const struct bytes *from);
// put appends bytes, put_number an unsigned LEB128 number.
void put(struct bytes *to, const void *from, size_t n);
void put_byte(struct bytes *to, int c);
void put_number(struct bytes *to, uint64_t v);
// number reads an unsigned LEB128 number at *at. It returns -1 if there is none.
int64_t number(const struct bytes *m, size_t *at);
// is_module reports whether the bytes begin as a module does. The first section begins at HEADER.
enum { CUSTOM = 0, HEADER = 8 };
int is_module(const struct bytes *m);
// section reads the head of the section at *at: its kind and its content, and sets *at behind it. It returns 0 at the end or for a damaged one.
struct section {
	int kind;
	size_t start, at, end; // where the section begins, where its content begins, and where it ends
};
int section(const struct bytes *m, size_t *at, struct section *s);
// named reports whether a custom section has a name, and sets s->at behind that.
int named(const struct bytes *m, struct section *s, const char *name);

// fault ends the program for a linked program that it does not understand. take_number reads a number that must be there.
_Noreturn void fault(const char *what);
int64_t take_number(const struct bytes *m, size_t *at);
// body skips the variables of a function at at, and returns where its instructions begin.
size_t body(const struct bytes *m, size_t at);
// instruction skips an instruction and returns its first byte. For CALL_BY_POINTER it sets the type.
enum { BLOCK = 0x02, LOOP = 0x03, IF = 0x04, THROW = 0x08, THROW_REF = 0x0a, END = 0x0b, BRANCH = 0x0c, BRANCH_IF = 0x0d, BRANCH_TABLE = 0x0e };
enum { RETURN = 0x0f, CALL = 0x10, CALL_BY_POINTER = 0x11, TRY = 0x1f, GET_GLOBAL = 0x23, SET_GLOBAL = 0x24, CONST = 0x41, NULL_OF = 0xd0 };
enum { CATCH, CATCH_REF, CATCH_ALL, CATCH_ALL_REF }; // kinds of handlers
int instruction(const struct bytes *m, size_t *at, int64_t *type);
