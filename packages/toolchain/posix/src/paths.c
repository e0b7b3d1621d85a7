// Files by their path. wasi-libc looks for the preopened directory of a path; the kernel has a root and a working directory.
#define _GNU_SOURCE
#include "host.h"
#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// What wasi-libc itself calls to go from a path to a directory.
char *__wasilibc_cwd = "/";
void __wasilibc_populate_preopens(void) {}
void __wasilibc_reset_preopens(void) {}
int __wasilibc_register_preopened_fd(int fd, const char *prefix) { return (void)fd, (void)prefix, 0; }
int __wasilibc_find_abspath(const char *path, const char **prefix, const char **rel)
{
	struct place p = place(AT_FDCWD, path);
	*prefix = "/", *rel = p.path;
	return p.dir;
}
int __wasilibc_find_relpath(const char *path, const char **prefix, char **rel, size_t n)
{
	struct place p = place(AT_FDCWD, path);
	(void)n;
	*prefix = "", *rel = (char *)p.path;
	return p.dir;
}

int __wasilibc_nocwd_openat_nomode(int, const char *, int);
int __wasilibc_nocwd_linkat(int, const char *, int, const char *, int);
int __wasilibc_nocwd_mkdirat_nomode(int, const char *);
DIR *__wasilibc_nocwd_opendirat(int, const char *);
ssize_t __wasilibc_nocwd_readlinkat(int, const char *, char *, size_t);
int __wasilibc_nocwd_renameat(int, const char *, int, const char *);
int __wasilibc_nocwd_symlinkat(const char *, int, const char *);
int __wasilibc_nocwd_utimensat(int, const char *, const struct timespec *, int);
int __wasilibc_nocwd___wasilibc_unlinkat(int, const char *);
int __wasilibc_nocwd___wasilibc_rmdirat(int, const char *);
typedef int select_entry(const struct dirent *);
typedef int compare_entries(const struct dirent **, const struct dirent **);
int __wasilibc_nocwd_scandirat(int, const char *, struct dirent ***, select_entry *, compare_entries *);

static mode_t mask = 022;
mode_t umask(mode_t m)
{
	mode_t old = mask;
	mask = m & 0777;
	return old;
}

static int open_mode(int dir, const char *path, int flags, mode_t mode)
{
	struct place p = place(dir, path);
	struct stat st;
	// wasi-libc's open has no mode: a new file becomes executable afterwards.
	int fresh = flags & O_CREAT && mode & 0111 & ~mask && fstatat(p.dir, p.path, &st, 0);
	int fd = __wasilibc_nocwd_openat_nomode(p.dir, p.path, flags & ~O_CLOEXEC);
	if (fd < 0) return fd;
	if (flags & O_CLOEXEC) host_cloexec(fd, 1);
	if (fresh) host_fchmod(fd, mode & ~mask);
	return fd;
}
#define MODE(flags) ({ va_list ap; va_start(ap, flags); mode_t m = (flags) & O_CREAT ? va_arg(ap, int) : 0; va_end(ap); m; })
int open(const char *path, int flags, ...) { return open_mode(AT_FDCWD, path, flags, MODE(flags)); }
int openat(int dir, const char *path, int flags, ...) { return open_mode(dir, path, flags, MODE(flags)); }
int __wasilibc_open_nomode(const char *path, int flags) { return open_mode(AT_FDCWD, path, flags, 0666); }
int creat(const char *path, mode_t mode) { return open_mode(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode); }

int mkdirat(int dir, const char *path, mode_t mode)
{
	struct place p = place(dir, path);
	(void)mode;
	return __wasilibc_nocwd_mkdirat_nomode(p.dir, p.path);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	struct place a = place(from_dir, from), b = place(to_dir, to);
	return __wasilibc_nocwd_linkat(a.dir, a.path, b.dir, b.path, flags);
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int __wasilibc_link(const char *from, const char *to, int flags) { return linkat(AT_FDCWD, from, AT_FDCWD, to, flags); }
int __wasilibc_link_newat(const char *from, int dir, const char *to, int flags) { return linkat(AT_FDCWD, from, dir, to, flags); }
int __wasilibc_link_oldat(int dir, const char *from, const char *to, int flags) { return linkat(dir, from, AT_FDCWD, to, flags); }

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	struct place a = place(from_dir, from), b = place(to_dir, to);
	return __wasilibc_nocwd_renameat(a.dir, a.path, b.dir, b.path);
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int __wasilibc_rename_newat(const char *from, int dir, const char *to) { return renameat(AT_FDCWD, from, dir, to); }
int __wasilibc_rename_oldat(int dir, const char *from, const char *to) { return renameat(dir, from, AT_FDCWD, to); }

int symlinkat(const char *target, int dir, const char *path)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd_symlinkat(target, p.dir, p.path);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

ssize_t readlinkat(int dir, const char *restrict path, char *restrict buf, size_t size)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd_readlinkat(p.dir, p.path, buf, size);
}
ssize_t readlink(const char *restrict path, char *restrict buf, size_t size) { return readlinkat(AT_FDCWD, path, buf, size); }

int __wasilibc_unlinkat(int dir, const char *path)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd___wasilibc_unlinkat(p.dir, p.path);
}
int __wasilibc_rmdirat(int dir, const char *path)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd___wasilibc_rmdirat(p.dir, p.path);
}
int unlinkat(int dir, const char *path, int flags) { return flags & AT_REMOVEDIR ? __wasilibc_rmdirat(dir, path) : __wasilibc_unlinkat(dir, path); }
int unlink(const char *path) { return __wasilibc_unlinkat(AT_FDCWD, path); }
int rmdir(const char *path) { return __wasilibc_rmdirat(AT_FDCWD, path); }
int remove(const char *path)
{
	int r = unlink(path);
	return r && errno == EISDIR ? rmdir(path) : r;
}

DIR *opendir(const char *path)
{
	struct place p = place(AT_FDCWD, path);
	return __wasilibc_nocwd_opendirat(p.dir, p.path);
}
int scandirat(int dir, const char *path, struct dirent ***list, select_entry *want, compare_entries *compare)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd_scandirat(p.dir, p.path, list, want, compare);
}
int scandir(const char *path, struct dirent ***list, select_entry *want, compare_entries *compare)
{
	return scandirat(AT_FDCWD, path, list, want, compare);
}

int utimensat(int dir, const char *path, const struct timespec t[2], int flags)
{
	struct place p = place(dir, path);
	return __wasilibc_nocwd_utimensat(p.dir, p.path, t, flags);
}
int __wasilibc_utimens(const char *path, const struct timespec t[2], int flags) { return utimensat(AT_FDCWD, path, t, flags); }

// The working directory is the kernel's: a child inherits it.
int chdir(const char *path) { return check(host_chdir(path, strlen(path))); }
int fchdir(int fd) { return check(host_fchdir(fd)); }
char *getcwd(char *buf, size_t size)
{
	char tmp[PATH_MAX];
	int n = value(host_getcwd(tmp, sizeof tmp));
	if (n < 0) return 0;
	tmp[n] = 0;
	if (!buf) return strdup(tmp);
	if (size <= (size_t)n) {
		errno = ERANGE;
		return 0;
	}
	return memcpy(buf, tmp, n + 1);
}
char *getwd(char *buf) { return getcwd(buf, PATH_MAX); }
char *get_current_dir_name(void) { return getcwd(0, 0); }
int chroot(const char *path) { return (void)path, fail(EPERM); }
