// The calls of nuka's kernel, in the module "nuka" of the host, and what the files of this folder share.
// A number that a call returns is its value or a negated errno; a call without a value returns an errno or 0.
#ifndef NUKA_HOST_H
#define NUKA_HOST_H
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#define HOST(ret, name, ...) extern ret host_##name(__VA_ARGS__) __attribute__((__import_module__("nuka"), __import_name__(#name)))
HOST(int, fork, void) __attribute__((__returns_twice__));
HOST(int, exec2, const char *path, size_t len, const char *args, size_t args_len, const char *env, size_t env_len);
_Noreturn HOST(void, exit2, int status);
HOST(int, wait, int pid, int options, int result[2]);
HOST(int, getpid, void);
HOST(int, getppid, void);
HOST(int, kill, int pid, int sig);
HOST(int, sigsuspend, uint64_t mask);
HOST(uint64_t, signals, int op, uint64_t value);
HOST(int, pipe, int fds[2]);
HOST(int, dup, int fd, int least, int cloexec);
HOST(int, dup2, int fd, int to, int cloexec);
HOST(int, cloexec, int fd, int set);
HOST(int, poll, void *fds, int n, int ms);
HOST(int, chdir, const char *path, size_t len);
HOST(int, fchdir, int fd);
HOST(int, getcwd, char *buf, size_t size);
HOST(int, chmod, int dirfd, const char *path, size_t len, int mode, int follow);
HOST(int, fchmod, int fd, int mode);
#undef HOST

// The operations of host_signals.
enum { TAKE_SIGNAL, SET_HANDLED, SET_IGNORED, SET_BLOCKED, GET_PENDING, GET_IGNORED };

// The directories that a path is relative to: a program of the kernel has no preopened ones.
enum { ROOT = 0x7fffff00, CWD = 0x7fffff01 };

// The only user and group.
enum { ME = 1000 };

static inline int fail(int e)
{
	errno = e;
	return -1;
}
static inline int check(int e) { return e ? fail(e) : 0; }
static inline int value(int v) { return v < 0 ? fail(-v) : v; }

// A place is a path as the host takes it: relative to a directory.
struct place {
	int dir;
	const char *path;
};
static inline struct place place(int dir, const char *path)
{
	if (*path != '/') return (struct place){dir == AT_FDCWD ? CWD : dir, path};
	while (*path == '/') path++;
	return (struct place){ROOT, *path ? path : "."};
}

// nuka_deliver runs the handlers of the signals that have arrived. It reports whether an interrupted call is to be made again.
int nuka_deliver(void);
// nuka_signals_begin reads which signals the process inherited as ignored. It does so once.
void nuka_signals_begin(void);
#endif
