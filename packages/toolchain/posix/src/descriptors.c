// Descriptors: pipes, copies, flags, reading and writing, waiting for several.
#define _GNU_SOURCE
#include "host.h"
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <unistd.h>
#include <wasi/api.h>

int close(int fd) { return check(__wasi_fd_close(fd)); }
int __wasilibc_fd_renumber(int fd, int to) { return check(__wasi_fd_renumber(fd, to)); }

int pipe2(int fds[2], int flags)
{
	if (check(host_pipe(fds))) return -1;
	for (int i = 0; i < 2; i++) {
		if (flags & O_CLOEXEC) host_cloexec(fds[i], 1);
		if (flags & O_NONBLOCK) __wasi_fd_fdstat_set_flags(fds[i], __WASI_FDFLAGS_NONBLOCK);
	}
	return 0;
}
int pipe(int fds[2]) { return pipe2(fds, 0); }
int dup(int fd) { return value(host_dup(fd, 0, 0)); }
int dup2(int fd, int to) { return value(host_dup2(fd, to, 0)); }
int dup3(int fd, int to, int flags) { return fd == to ? fail(EINVAL) : value(host_dup2(fd, to, !!(flags & O_CLOEXEC))); }

static int status_flags(int fd)
{
	__wasi_fdstat_t s;
	int e = __wasi_fd_fdstat_get(fd, &s);
	if (e) return fail(e);
	int flags = s.fs_flags;
	if (s.fs_rights_base & __WASI_RIGHTS_FD_READ) flags |= O_RDONLY;
	if (s.fs_rights_base & __WASI_RIGHTS_FD_WRITE) flags |= O_WRONLY;
	return flags;
}
int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	va_start(ap, cmd);
	int arg = va_arg(ap, int);
	va_end(ap);
	switch (cmd) {
	case F_DUPFD: return value(host_dup(fd, arg, 0));
	case F_DUPFD_CLOEXEC: return value(host_dup(fd, arg, 1));
	case F_GETFD: return value(host_cloexec(fd, -1));
	case F_SETFD: return value(host_cloexec(fd, arg & FD_CLOEXEC)) < 0 ? -1 : 0;
	case F_GETFL: return status_flags(fd);
	case F_SETFL: return check(__wasi_fd_fdstat_set_flags(fd, arg & 0xfff));
	// No other process outside of the build sees the files, so a lock is always free.
	case F_GETLK: ((struct flock *)(intptr_t)arg)->l_type = F_UNLCK; return 0;
	case F_SETLK: case F_SETLKW: case F_SETOWN: case F_GETOWN: return 0;
	}
	return fail(EINVAL);
}
int flock(int fd, int op) { return (void)fd, (void)op, 0; }
int lockf(int fd, int cmd, off_t n) { return (void)fd, (void)cmd, (void)n, 0; }

// A descriptor that is not open for an operation is EBADF in POSIX, and a missing right in WASI.
static int no_right(int e) { return fail(e == ENOTCAPABLE ? EBADF : e); }

ssize_t readv(int fd, const struct iovec *v, int n)
{
	for (;;) {
		size_t got;
		int e = __wasi_fd_read(fd, (const __wasi_iovec_t *)v, n, &got);
		if (e == 0) return got;
		if (e == EINTR && nuka_deliver()) continue;
		return no_right(e);
	}
}
ssize_t read(int fd, void *buf, size_t n)
{
	struct iovec v = {buf, n};
	return readv(fd, &v, 1);
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
	for (;;) {
		size_t put;
		int e = __wasi_fd_write(fd, (const __wasi_ciovec_t *)v, n, &put);
		if (e == 0) return put;
		if (e == EINTR && nuka_deliver()) continue;
		if (e == EPIPE) raise(SIGPIPE);
		return no_right(e);
	}
}
ssize_t write(int fd, const void *buf, size_t n)
{
	struct iovec v = {(void *)buf, n};
	return writev(fd, &v, 1);
}

int poll(struct pollfd *fds, nfds_t n, int ms)
{
	int r = host_poll(fds, n, ms);
	if (r != -EINTR && r != EINTR) return value(r);
	nuka_deliver();
	return fail(EINTR);
}
static int select_ms(int n, fd_set *r, fd_set *w, fd_set *x, int ms)
{
	struct pollfd fds[FD_SETSIZE];
	int count = 0, ready = 0;
	for (int i = 0; i < n; i++) {
		int events = (r && FD_ISSET(i, r) ? POLLIN : 0) | (w && FD_ISSET(i, w) ? POLLOUT : 0);
		if (events) fds[count++] = (struct pollfd){i, events, 0};
	}
	if (poll(fds, count, ms) < 0) return -1;
	if (r) FD_ZERO(r);
	if (w) FD_ZERO(w);
	if (x) FD_ZERO(x);
	for (int i = 0; i < count; i++) {
		struct pollfd f = fds[i];
		if (f.events & POLLIN && f.revents & (POLLIN | POLLHUP)) ready++, FD_SET(f.fd, r);
		if (f.events & POLLOUT && f.revents & (POLLOUT | POLLERR)) ready++, FD_SET(f.fd, w);
	}
	return ready;
}
int select(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict x, struct timeval *restrict t)
{
	return select_ms(n, r, w, x, t ? t->tv_sec * 1000 + t->tv_usec / 1000 : -1);
}
int pselect(int n, fd_set *restrict r, fd_set *restrict w, fd_set *restrict x, const struct timespec *restrict t, const sigset_t *restrict mask)
{
	sigset_t old;
	if (mask) sigprocmask(SIG_SETMASK, mask, &old);
	int ready = select_ms(n, r, w, x, t ? t->tv_sec * 1000 + t->tv_nsec / 1000000 : -1);
	int e = errno;
	if (mask) sigprocmask(SIG_SETMASK, &old, 0);
	errno = e;
	return ready;
}
