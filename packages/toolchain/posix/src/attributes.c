// What a file is: type, mode, owner, times. The kernel tells the mode in the padding of WASI's filestat.
#define _GNU_SOURCE
#include "host.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>
#include <wasi/api.h>

enum { TYPE_AT = 16, MODE_AT = 18, PIPE_INODE = 2 };

static struct timespec timespec_of(uint64_t ns) { return (struct timespec){ns / 1000000000, ns % 1000000000}; }

static int fill(struct stat *st, const uint64_t raw[8])
{
	const uint8_t *b = (const uint8_t *)raw;
	memset(st, 0, sizeof *st);
	st->st_dev = raw[0];
	st->st_ino = raw[1];
	st->st_nlink = raw[3];
	st->st_size = raw[4];
	st->st_blksize = 4096;
	st->st_blocks = (raw[4] + 511) / 512;
	st->st_uid = st->st_gid = ME;
	st->st_atim = timespec_of(raw[5]);
	st->st_mtim = timespec_of(raw[6]);
	st->st_ctim = timespec_of(raw[7]);
	switch (b[TYPE_AT]) {
	case __WASI_FILETYPE_DIRECTORY: st->st_mode = S_IFDIR | 0755; break;
	case __WASI_FILETYPE_REGULAR_FILE: st->st_mode = S_IFREG | b[MODE_AT] | b[MODE_AT + 1] << 8; break;
	case __WASI_FILETYPE_SYMBOLIC_LINK: st->st_mode = S_IFLNK | 0777; break;
	case __WASI_FILETYPE_CHARACTER_DEVICE: st->st_mode = S_IFCHR | 0666; break;
	default: st->st_mode = st->st_ino == PIPE_INODE ? S_IFIFO | 0600 : S_IFCHR | 0666;
	}
	return 0;
}
int fstatat(int dir, const char *restrict path, struct stat *restrict st, int flags)
{
	struct place p = place(dir, path);
	uint64_t raw[8];
	int follow = flags & AT_SYMLINK_NOFOLLOW ? 0 : __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW;
	int e = __wasi_path_filestat_get(p.dir, follow, p.path, (__wasi_filestat_t *)raw);
	return e ? fail(e) : fill(st, raw);
}
int fstat(int fd, struct stat *st)
{
	uint64_t raw[8];
	int e = __wasi_fd_filestat_get(fd, (__wasi_filestat_t *)raw);
	return e ? fail(e) : fill(st, raw);
}
int __wasilibc_nocwd_fstatat(int dir, const char *path, struct stat *st, int flags) { return fstatat(dir, path, st, flags); }
int __wasilibc_stat(const char *path, struct stat *st, int flags) { return fstatat(AT_FDCWD, path, st, flags); }
int stat(const char *restrict path, struct stat *restrict st) { return fstatat(AT_FDCWD, path, st, 0); }
int lstat(const char *restrict path, struct stat *restrict st) { return fstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }

int faccessat(int dir, const char *path, int mode, int flags)
{
	struct stat st;
	(void)flags;
	if (fstatat(dir, path, &st, 0)) return -1;
	return mode & X_OK && !(st.st_mode & 0111) ? fail(EACCES) : 0;
}
int __wasilibc_nocwd_faccessat(int dir, const char *path, int mode, int flags) { return faccessat(dir, path, mode, flags); }
int __wasilibc_access(const char *path, int mode, int flags) { return faccessat(AT_FDCWD, path, mode, flags); }
int access(const char *path, int mode) { return faccessat(AT_FDCWD, path, mode, 0); }
int eaccess(const char *path, int mode) { return access(path, mode); }
int euidaccess(const char *path, int mode) { return access(path, mode); }

// A file is executable or not; the kernel keeps no other part of a mode.
int fchmodat(int dir, const char *path, mode_t mode, int flags)
{
	struct place p = place(dir, path);
	return check(host_chmod(p.dir, p.path, strlen(p.path), mode, !(flags & AT_SYMLINK_NOFOLLOW)));
}
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }
int lchmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW); }
int fchmod(int fd, mode_t mode) { return check(host_fchmod(fd, mode)); }

// There is one user, so giving a file away changes nothing.
int fchownat(int dir, const char *path, uid_t u, gid_t g, int flags)
{
	struct stat st;
	(void)u, (void)g;
	return fstatat(dir, path, &st, flags);
}
int chown(const char *path, uid_t u, gid_t g) { return fchownat(AT_FDCWD, path, u, g, 0); }
int lchown(const char *path, uid_t u, gid_t g) { return fchownat(AT_FDCWD, path, u, g, AT_SYMLINK_NOFOLLOW); }
int fchown(int fd, uid_t u, gid_t g)
{
	struct stat st;
	(void)u, (void)g;
	return fstat(fd, &st);
}

int mkfifo(const char *path, mode_t mode) { return (void)path, (void)mode, fail(ENOSYS); }
int mkfifoat(int dir, const char *path, mode_t mode) { return (void)dir, mkfifo(path, mode); }
int mknodat(int dir, const char *path, mode_t mode, dev_t dev)
{
	(void)dev;
	if (!S_ISREG(mode)) return fail(EPERM);
	int fd = openat(dir, path, O_CREAT | O_EXCL | O_WRONLY, mode);
	return fd < 0 ? fd : close(fd);
}
int mknod(const char *path, mode_t mode, dev_t dev) { return mknodat(AT_FDCWD, path, mode, dev); }

int utime(const char *path, const struct utimbuf *u)
{
	struct timespec t[2];
	if (u) t[0] = (struct timespec){u->actime, 0}, t[1] = (struct timespec){u->modtime, 0};
	return utimensat(AT_FDCWD, path, u ? t : 0, 0);
}
static int utimes_flags(const char *path, const struct timeval u[2], int flags)
{
	struct timespec t[2];
	for (int i = 0; u && i < 2; i++) t[i] = (struct timespec){u[i].tv_sec, u[i].tv_usec * 1000};
	return utimensat(AT_FDCWD, path, u ? t : 0, flags);
}
int utimes(const char *path, const struct timeval u[2]) { return utimes_flags(path, u, 0); }
int lutimes(const char *path, const struct timeval u[2]) { return utimes_flags(path, u, AT_SYMLINK_NOFOLLOW); }

// How full the disk is differs between machines, so it is always the same.
static int volume(struct statvfs *s)
{
	memset(s, 0, sizeof *s);
	s->f_bsize = s->f_frsize = 4096;
	s->f_blocks = s->f_bfree = s->f_bavail = 1 << 24;
	s->f_files = s->f_ffree = s->f_favail = 1 << 24;
	s->f_namemax = 255;
	return 0;
}
int statvfs(const char *restrict path, struct statvfs *restrict s) { return access(path, F_OK) ? -1 : volume(s); }
int fstatvfs(int fd, struct statvfs *s)
{
	struct stat st;
	return fstat(fd, &st) ? -1 : volume(s);
}
void sync(void) {}
