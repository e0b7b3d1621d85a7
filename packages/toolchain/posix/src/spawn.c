// posix_spawn, by fork and exec. The child tells an error through a pipe that exec closes.
#define _GNU_SOURCE
#include "host.h"
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct action {
	enum { OPEN, CLOSE, DUP2, CHDIR } kind;
	int fd, to, flags;
	mode_t mode;
	char *path;
};
static int add(posix_spawn_file_actions_t *f, struct action a)
{
	struct action *list = realloc(f->__list, (f->__n + 1) * sizeof *list);
	if (!list) return ENOMEM;
	list[f->__n++] = a;
	f->__list = list;
	return 0;
}
int posix_spawn_file_actions_init(posix_spawn_file_actions_t *f) { return memset(f, 0, sizeof *f), 0; }
int posix_spawn_file_actions_destroy(posix_spawn_file_actions_t *f)
{
	struct action *list = f->__list;
	for (int i = 0; i < f->__n; i++) free(list[i].path);
	free(list);
	memset(f, 0, sizeof *f);
	return 0;
}
int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *f, int fd, const char *path, int flags, mode_t mode)
{
	return add(f, (struct action){.kind = OPEN, .fd = fd, .flags = flags, .mode = mode, .path = strdup(path)});
}
int posix_spawn_file_actions_addclose(posix_spawn_file_actions_t *f, int fd) { return add(f, (struct action){.kind = CLOSE, .fd = fd}); }
int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *f, int fd, int to)
{
	return add(f, (struct action){.kind = DUP2, .fd = fd, .to = to});
}
int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *f, const char *path)
{
	return add(f, (struct action){.kind = CHDIR, .path = strdup(path)});
}

int posix_spawnattr_init(posix_spawnattr_t *a) { return memset(a, 0, sizeof *a), 0; }
int posix_spawnattr_destroy(posix_spawnattr_t *a) { return (void)a, 0; }
int posix_spawnattr_setflags(posix_spawnattr_t *a, short flags) { return a->__flags = flags, 0; }
int posix_spawnattr_getflags(const posix_spawnattr_t *restrict a, short *restrict flags) { return *flags = a->__flags, 0; }
int posix_spawnattr_setpgroup(posix_spawnattr_t *a, pid_t group) { return a->__pgrp = group, 0; }
int posix_spawnattr_setsigmask(posix_spawnattr_t *a, const sigset_t *mask) { return a->__mask = *mask, 0; }
int posix_spawnattr_setsigdefault(posix_spawnattr_t *a, const sigset_t *mask) { return a->__def = *mask, 0; }

static int act(const struct action *a)
{
	int fd;
	switch (a->kind) {
	case OPEN:
		fd = open(a->path, a->flags, a->mode);
		if (fd < 0 || fd == a->fd) return fd;
		return dup2(fd, a->fd) < 0 ? -1 : close(fd);
	case CLOSE: close(a->fd); return 0;
	case DUP2: return a->fd == a->to ? value(host_cloexec(a->fd, 0)) : dup2(a->fd, a->to);
	case CHDIR: return chdir(a->path);
	}
	return fail(EINVAL);
}
static void attributes(const posix_spawnattr_t *a)
{
	for (int s = 1; a && a->__flags & POSIX_SPAWN_SETSIGDEF && s < 64; s++)
		if (sigismember(&a->__def, s)) signal(s, SIG_DFL);
	if (a && a->__flags & POSIX_SPAWN_SETSIGMASK) sigprocmask(SIG_SETMASK, &a->__mask, 0);
}

typedef int execute(const char *, char *const *, char *const *);
static int spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *f, const posix_spawnattr_t *a, char *const *argv,
                 char *const *env, execute *execute)
{
	int fds[2], err = 0;
	if (pipe2(fds, O_CLOEXEC)) return errno;
	pid_t p = fork();
	if (p < 0) {
		err = errno;
		close(fds[0]), close(fds[1]);
		return err;
	}
	if (p == 0) {
		struct action *list = f ? f->__list : 0;
		int ok = 1;
		attributes(a);
		for (int i = 0; ok && f && i < f->__n; i++) ok = act(&list[i]) >= 0;
		if (ok) execute(path, argv, env ? env : environ);
		err = errno;
		write(fds[1], &err, sizeof err);
		_exit(127);
	}
	close(fds[1]);
	if (read(fds[0], &err, sizeof err) != sizeof err) err = 0;
	close(fds[0]);
	if (err) waitpid(p, 0, 0);
	else if (pid) *pid = p;
	return err;
}
int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *f, const posix_spawnattr_t *restrict a,
                char *const *restrict argv, char *const *restrict env)
{
	return spawn(pid, path, f, a, argv, env, execve);
}
int posix_spawnp(pid_t *restrict pid, const char *restrict name, const posix_spawn_file_actions_t *f, const posix_spawnattr_t *restrict a,
                 char *const *restrict argv, char *const *restrict env)
{
	return spawn(pid, name, f, a, argv, env, execvpe);
}
