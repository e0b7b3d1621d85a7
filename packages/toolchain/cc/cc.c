// cc, c++, gcc, g++ and ld: what configure and make call. clang cannot start its own linker, so this program starts both.
// It is built with CLANG and POSIX, the folders of the packages. The package cxx calls it with its own folder, in the argument --cxx=DIR.
#include "cc.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *me; // the name by which the program was called

static void *checked(void *p)
{
	if (p) return p;
	fprintf(stderr, "%s: out of memory\n", me);
	exit(1);
}

// A list of texts that ends with a null pointer.
struct list {
	const char **v;
	int n, cap;
};
static void add(struct list *l, const char *s)
{
	if (l->n + 2 > l->cap) l->v = checked(realloc(l->v, (l->cap = l->cap * 2 + 64) * sizeof *l->v));
	l->v[l->n++] = s;
	l->v[l->n] = 0;
}
static void add_all(struct list *l, const char *const *v)
{
	for (; *v; v++) add(l, *v);
}

static int begins(const char *s, const char *with) { return !strncmp(s, with, strlen(with)); }
static int ends(const char *s, const char *with)
{
	size_t n = strlen(s), m = strlen(with);
	return n > m && !strcmp(s + n - m, with);
}
static int one_of(const char *s, const char *const *v)
{
	for (; *v; v++)
		if (!strcmp(s, *v)) return 1;
	return 0;
}
static int begins_one_of(const char *s, const char *const *v)
{
	for (; *v; v++)
		if (begins(s, *v)) return 1;
	return 0;
}
static char *joined(const char *a, const char *b)
{
	char *s = checked(malloc(strlen(a) + strlen(b) + 1));
	return strcat(strcpy(s, a), b);
}

static void show(const struct list *l)
{
	for (int i = 0; i < l->n; i++) fprintf(stderr, " %s", l->v[i]);
	fputc('\n', stderr);
}
static int replace(const char *program, const struct list *args)
{
	execv(program, (char *const *)args->v);
	perror(program);
	return 127;
}
static int run(const char *program, const struct list *args)
{
	int status = 0;
	pid_t p = fork();
	if (p == 0) _exit(replace(program, args));
	if (p < 0 || waitpid(p, &status, 0) < 0) {
		perror(me);
		return 1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int ends_one_of(const char *s, const char *const *v)
{
	for (; *v; v++)
		if (ends(s, *v)) return 1;
	return 0;
}
static int is_plus(const char *s)
{
	static const char *const extensions[] = {".cc", ".cpp", ".cxx", ".C", ".ii", 0};
	return ends_one_of(s, extensions);
}
static int is_source(const char *s)
{
	static const char *const extensions[] = {".c", ".i", ".S", ".s", 0};
	return is_plus(s) || ends_one_of(s, extensions);
}

// has_env_main reports whether an object defines a main of three arguments. Only that one keeps its plain name.
static int has_env_main(const char *file)
{
	struct stat st;
	int fd = open(file, O_RDONLY), found = 0;
	if (fd < 0) return 0;
	if (!fstat(fd, &st) && st.st_size > 4) {
		char *b = checked(malloc(st.st_size));
		size_t n = 0;
		ssize_t k;
		while (n < (size_t)st.st_size && (k = read(fd, b + n, st.st_size - n)) > 0) n += k;
#define HAS(text) memmem(b, n, text, sizeof text - 1)
		found = !memcmp(b, "\0asm", 4) && HAS("\x04main") && !HAS("__main_void") && !HAS("__main_argc_argv");
		free(b);
	}
	close(fd);
	return found;
}

static const char *const compiler[] = {
	"--sysroot=" CLANG "/usr", "-resource-dir", CLANG "/usr", "--target=wasm32-wasip1", "-isystem", POSIX "/include",
	"-D__unix__=1", "-D__unix=1", "-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS", "-D_WASI_EMULATED_MMAN", "-D_WASI_EMULATED_GETPID",
	// Programs that were written for older compilers rely on these being warnings.
	"-Wno-incompatible-pointer-types", "-Wno-int-conversion", "-Wno-implicit-function-declaration", "-Wno-implicit-int",
	"-Wno-incompatible-function-pointer-types", "-Wno-return-mismatch", 0};
// Handlers of signals start at 16, since the first numbers mean SIG_DFL, SIG_IGN and the like.
static const char *const linker[] = {
	"wasm-ld", "-u", "__main_argc_argv", "--table-base=16", "-z", "stack-size=8388608", "--stack-first", "--export=__stack_pointer", 0};
static const char *const libraries[] = {
	"-lc", "-lwasi-emulated-process-clocks", "-lwasi-emulated-mman", CLANG "/usr/lib/wasm32-unknown-wasip1/libclang_rt.builtins.a", 0};

static int ld(char **argv)
{
	static const char *const unknown[] = {"-nostdlib", "--warn-common", "-static", "--sort-common", "-Bstatic", "-Bdynamic", "--no-undefined", "--allow-function-casts", 0};
	struct list args = {0};
	add(&args, "wasm-ld");
	while (*++argv)
		if (!one_of(*argv, unknown)) add(&args, *argv);
	return replace(CLANG "/bin/wasm-ld", &args);
}

// What the command line asks for.
static struct list compile, search;
static struct list inputs; // files, libraries and options of the linker, in their order
static const char *output, *language, *clang = CLANG "/bin/clang";
static int stops;     // before linking
static int compiles;  // to an object
static int strict;    // in ISO C or C++, which lack the name unix
static int answers;   // it only prints something
static int strips, no_libraries, verbose, plus, sources;
static int common;    // variables without a value are common to all files
static int casts;     // functions are called by pointers of other types
static int throws = 1; // C++ has exceptions, if its library has
static const char *cxx; // the folder of the C++ library with exceptions

static void linker_option(char *text)
{
	static const char *const known[] = {
		"--export", "--whole-archive", "--no-whole-archive", "--initial-memory", "--max-memory", "-u", "--undefined", "--wrap",
		"--gc-sections", "--no-gc-sections", "--allow-multiple-definition", "--start-lib", "--end-lib", 0};
	for (char *s = strtok(text, ","); s; s = strtok(0, ",")) {
		if (!strcmp(s, "--allow-function-casts")) casts = 1;
		else if (begins_one_of(s, known)) add(&inputs, s);
	}
}

static void set_language(const char *name)
{
	language = strcmp(name, "none") ? name : 0;
	add(&compile, "-x"), add(&compile, name);
}

// option takes the option at argv[0] and returns how many arguments it used.
static int option(char **argv)
{
	static const char *const stopping[] = {"-c", "-E", "-S", "-M", "-MM", "-fsyntax-only", 0};
	static const char *const asking[] = {"--version", "-print-", "--print-", "-dump", "-###", "--help", 0};
	// WebAssembly has one processor, no shared libraries and no threads here.
	static const char *const ignored[] = {
		"-static", "-rdynamic", "-pthread", "-pthreads", "-pie", "-no-pie", "-fPIC", "-fpic", "-fPIE", "-fpie", "-g3", "-mthreads", 0};
	static const char *const ignored_beginnings[] = {"-march=", "-mtune=", "-mcpu=", "-fstack-protector", "-fcf-protection", "-ffat-lto-objects", 0};
	static const char *const in_libc[] = {
		"-lm", "-lc", "-lrt", "-ldl", "-lpthread", "-lutil", "-lcrypt", "-lresolv", "-lnsl", "-lsocket", "-lgcc", "-lgcc_s", 0};
	static const char *const with_value[] = {
		"-I", "-D", "-U", "-include", "-isystem", "-idirafter", "-iquote", "-imacros", "-MF", "-MT", "-MQ", "-Xclang", "-mllvm", "-arch",
		"-Xpreprocessor", "-Xassembler", "--param", 0};
	char *a = argv[0], *next = argv[1];
	if (one_of(a, ignored) || begins_one_of(a, ignored_beginnings) || one_of(a, in_libc)) return 1;
	if (begins(a, "-std=c") || begins(a, "-std=iso") || !strcmp(a, "-ansi")) strict = 1;
	if (!strcmp(a, "-fcommon") || !strcmp(a, "-fno-common")) return common = !strcmp(a, "-fcommon"), 1;
	if (!strcmp(a, "-fexceptions") || !strcmp(a, "-fno-exceptions")) throws = !strcmp(a, "-fexceptions");
	if (!strcmp(a, "-c")) compiles = 1;
	if (one_of(a, stopping)) stops = 1, add(&compile, a);
	else if (begins_one_of(a, asking)) answers = 1, add(&compile, a);
	else if (!strcmp(a, "-o") && next) return output = next, 2;
	else if (begins(a, "-o") && a[2]) output = a + 2;
	else if (!strcmp(a, "-x") && next) return set_language(next), 2;
	else if (begins(a, "-x") && a[2]) set_language(a + 2);
	else if (begins(a, "-Wl,")) linker_option(a + 4);
	else if (!strcmp(a, "-Xlinker") && next) return linker_option(next), 2;
	else if (!strcmp(a, "-L") && next) return add(&search, joined(a, next)), 2;
	else if (!strcmp(a, "-l") && next) return add(&inputs, joined(a, next)), 2;
	else if (!strcmp(a, "-lstdc++") || !strcmp(a, "-lc++")) plus = 1;
	else if (begins(a, "-l")) add(&inputs, a);
	else if (begins(a, "-L")) add(&search, a);
	else if (!strcmp(a, "-s")) strips = 1;
	else if (!strcmp(a, "-v")) verbose = 1, add(&compile, a);
	else if (!strcmp(a, "-nostdlib") || !strcmp(a, "-nostartfiles") || !strcmp(a, "-nodefaultlibs")) no_libraries = 1;
	else if (one_of(a, with_value) && next) return add(&compile, a), add(&compile, next), 2;
	else add(&compile, a);
	return 1;
}

// object_of returns the object that a source is compiled to without -o.
static const char *object_of(const char *source)
{
	const char *slash = strrchr(source, '/');
	char *file = joined(slash ? slash + 1 : source, ".o"), *dot = strrchr(file, '.');
	*dot = 0;
	if ((dot = strrchr(file, '.'))) *dot = 0;
	return strcat(file, ".o");
}
static int compile_to(const struct list *command, const char *object)
{
	int rc = run(clang, command);
	return rc || !common ? rc : make_common(object);
}

// compile_each compiles sources one by one: for more than one, clang would start itself.
static int compile_each(void)
{
	int rc = 0;
	for (int i = 0; i < inputs.n && !rc; i++) {
		if (*inputs.v[i] == '-') continue;
		struct list c = {0};
		add_all(&c, compile.v);
		add(&c, inputs.v[i]);
		rc = compile_to(&c, object_of(inputs.v[i]));
	}
	return rc;
}

// compile_temporary compiles a source that is to be linked at once.
static int compile_temporary(const char *source, const char **object)
{
	char *file = joined("/tmp/ccXXXXXX", ".o");
	int fd = mkstemps(file, 2);
	if (fd < 0) {
		perror(file);
		return 1;
	}
	close(fd);
	struct list c = {0};
	add_all(&c, compile.v);
	const char *const rest[] = {"-c", source, "-o", file, 0};
	add_all(&c, rest);
	*object = file;
	return compile_to(&c, file);
}

// add_environment adds the folders of LIBRARY_PATH, as clang's own driver would.
static void add_environment(struct list *args)
{
	const char *path = getenv("LIBRARY_PATH");
	for (char *dir = path ? strtok(joined(path, ""), ":") : 0; dir; dir = strtok(0, ":")) add(args, joined("-L", dir));
}

// cast gives a program that was linked with these arguments the functions that it calls by declarations or pointers of other types.
static int cast(struct list *args, const char *to)
{
	if (mismatched(to)) { // the linker has left out the functions themselves, since stubs that trap are called instead
		int n = args->n;
		add(args, "--no-gc-sections");
		if (!run(CLANG "/bin/wasm-ld", args)) return cast_functions(to, casts);
		args->v[args->n = n] = 0; // what nothing calls needs something that there is not
		int rc = run(CLANG "/bin/wasm-ld", args);
		if (rc) return rc;
	}
	return casts ? cast_functions(to, 1) : 0;
}

static int link_all(void)
{
	struct list args = {0}, temporary = {0};
	const char *to = output ? output : "a.out";
	int rc = 0;
	add_all(&args, linker);
	add(&args, "--strip-debug");
	int crt = args.n;
	add(&args, POSIX "/lib/crt1.o");
	if (search.v) add_all(&args, search.v);
	add_environment(&args);
	if (cxx) add(&args, joined("-L", joined(cxx, "/lib")));
	add(&args, "-L" POSIX "/lib"), add(&args, "-L" CLANG "/usr/lib/wasm32-wasip1");
	for (int i = 0; i < inputs.n && !rc; i++) {
		const char *file = inputs.v[i];
		if (*file != '-' && (is_source(file) || language)) {
			rc = compile_temporary(inputs.v[i], &file);
			add(&temporary, file);
		}
		if (ends(file, ".o") && has_env_main(file)) args.v[crt] = POSIX "/lib/crt1e.o";
		add(&args, file);
	}
	if (!no_libraries) {
		if (plus) add(&args, "-lc++"), add(&args, "-lc++abi"), add(&args, cxx ? "--export-if-defined=__cxx_uncaught" : "-lthrow");
		add_all(&args, libraries);
	}
	add(&args, "-o"), add(&args, to);
	if (!rc) {
		if (verbose) show(&args);
		rc = run(CLANG "/bin/wasm-ld", &args);
		if (!rc) rc = cast(&args, to);
		if (!rc) rc = lower_exceptions(to);
		if (!rc && strips) rc = strip(2, (char *[]){"strip", (char *)to, 0});
		if (!rc) chmod(to, 0755);
	}
	for (int i = 0; i < temporary.n; i++) unlink(temporary.v[i]);
	return rc;
}

// add_plus adds what C++ is compiled with.
static void add_plus(void)
{
	static const char *const exceptions[] = {"-fwasm-exceptions", "-mllvm", "-wasm-use-legacy-eh=false", 0};
	if (!cxx) add(&compile, "-fignore-exceptions");
	else if (throws) add_all(&compile, exceptions);
}

int main(int argc, char **argv)
{
	me = strrchr(argv[0], '/');
	me = me ? me + 1 : argv[0];
	if (!strcmp(me, "ld")) return ld(argv);
	if (!strcmp(me, "strip")) return strip(argc, argv);
	plus = strstr(me, "++") != 0;
	if (plus) clang = CLANG "/bin/clang++";
	add(&compile, clang);
	add_all(&compile, compiler);
	int first = 1, as_plus = plus;
	if (argc > 1 && begins(argv[1], "--cxx=")) cxx = argv[first++] + 6;
	for (int i = first; i < argc;) {
		if (!strcmp(argv[i], "-shared") || !strcmp(argv[i], "-dynamiclib")) {
			fprintf(stderr, "%s: WebAssembly has no shared libraries here\n", me);
			return 1;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			i += option(argv + i);
			continue;
		}
		sources += is_source(argv[i]) || language;
		as_plus |= language ? strstr(language, "++") != 0 : is_plus(argv[i]);
		add(&inputs, argv[i++]);
	}
	if (!strict) add(&compile, "-Dunix=1");
	if (as_plus) add_plus();
	if (stops && !answers && !output && sources > 1) return compile_each();
	if (stops || answers || inputs.n == 0) {
		const char *source = "";
		for (int i = 0; i < inputs.n; i++)
			if (inputs.v[i][0] != '-' || !inputs.v[i][1]) add(&compile, source = inputs.v[i]);
		if (output) add(&compile, "-o"), add(&compile, output);
		if (common && compiles && sources == 1 && !answers) return compile_to(&compile, output ? output : object_of(source));
		return replace(clang, &compile);
	}
	return link_all();
}
