// Processes: fork, exec, wait, and what the C library builds of them.
#define _GNU_SOURCE
#include "host.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

// What pthread_atfork registered.
static struct {
	void (*prepare)(void), (*parent)(void), (*child)(void);
} around[32];
static int arounds;
int pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	if (arounds == sizeof around / sizeof *around) return ENOMEM;
	around[arounds].prepare = prepare, around[arounds].parent = parent, around[arounds++].child = child;
	return 0;
}

pid_t fork(void)
{
	nuka_signals_begin();
	for (int i = arounds; i-- > 0;)
		if (around[i].prepare) around[i].prepare();
	pid_t p = value(host_fork());
	int e = errno;
	for (int i = 0; i < arounds; i++) {
		void (*after)(void) = p == 0 ? around[i].child : around[i].parent;
		if (after) after();
	}
	errno = e;
	return p;
}
pid_t vfork(void)
{
	nuka_signals_begin();
	return value(host_fork());
}
pid_t getpid(void) { return host_getpid(); }
pid_t getppid(void) { return host_getppid(); }

// There is no job control: all processes are in one group and one session.
pid_t getpgrp(void) { return 1; }
pid_t getpgid(pid_t p) { return (void)p, 1; }
pid_t getsid(pid_t p) { return (void)p, 1; }
pid_t setsid(void) { return getpid(); }
int setpgid(pid_t p, pid_t group) { return (void)p, (void)group, 0; }
int setpgrp(void) { return 0; }
int daemon(int nochdir, int noclose) { return (void)nochdir, (void)noclose, fail(ENOSYS); }

// flat joins texts, each with its zero byte, as the host takes them.
static char *flat(char *const *list, size_t *len)
{
	*len = 0;
	for (int i = 0; list && list[i]; i++) *len += strlen(list[i]) + 1;
	char *b = malloc(*len + 1), *p = b;
	for (int i = 0; b && list && list[i]; i++) p = stpcpy(p, list[i]) + 1;
	return b;
}
int execve(const char *path, char *const argv[], char *const env[])
{
	size_t args_len, env_len;
	char *args = flat(argv, &args_len), *vars = flat(env, &env_len);
	int e = args && vars ? host_exec2(path, strlen(path), args, args_len, vars, env_len) : ENOMEM;
	free(args), free(vars);
	return fail(e);
}
int execv(const char *path, char *const argv[]) { return execve(path, argv, environ); }

// exec_script runs a file, and with the shell if the kernel does not know what it is.
static int exec_script(const char *path, char *const argv[], char *const env[])
{
	execve(path, argv, env);
	if (errno != ENOEXEC) return -1;
	int n = 0;
	while (argv[n]) n++;
	char *v[n + 3];
	v[0] = "sh", v[1] = (char *)path, v[n > 0 ? n + 1 : 2] = 0;
	for (int i = 1; i < n; i++) v[i + 1] = argv[i];
	return execve("/bin/sh", v, env);
}
int execvpe(const char *name, char *const argv[], char *const env[])
{
	if (!*name) return fail(ENOENT);
	if (strchr(name, '/')) return exec_script(name, argv, env);
	const char *p = getenv("PATH");
	if (!p) p = "/usr/bin:/bin";
	int denied = 0;
	for (;;) {
		const char *end = strchrnul(p, ':');
		char file[PATH_MAX];
		int n = snprintf(file, sizeof file, "%.*s%s%s", (int)(end - p), p, end > p ? "/" : "./", name);
		if (n < (int)sizeof file) {
			exec_script(file, argv, env);
			if (errno == EACCES) denied = 1;
			else if (errno != ENOENT && errno != ENOTDIR) return -1;
		}
		if (!*end) break;
		p = end + 1;
	}
	return fail(denied ? EACCES : ENOENT);
}
int execvp(const char *name, char *const argv[]) { return execvpe(name, argv, environ); }

// ARGUMENTS makes the array argv of the arguments from first to the null pointer, and leaves ap behind it.
#define ARGUMENTS(first) \
	va_list ap; \
	int n = 1; \
	va_start(ap, first); \
	while (va_arg(ap, char *)) n++; \
	va_end(ap); \
	char *argv[n + 1]; \
	argv[0] = (char *)first; \
	va_start(ap, first); \
	for (int i = 1; i <= n; i++) argv[i] = va_arg(ap, char *)
int execl(const char *path, const char *first, ...)
{
	ARGUMENTS(first);
	va_end(ap);
	return execv(path, argv);
}
int execlp(const char *name, const char *first, ...)
{
	ARGUMENTS(first);
	va_end(ap);
	return execvp(name, argv);
}
int execle(const char *path, const char *first, ...)
{
	ARGUMENTS(first);
	char **env = va_arg(ap, char **);
	va_end(ap);
	return execve(path, argv, env);
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	int result[2], e;
	if (usage) memset(usage, 0, sizeof *usage);
	while ((e = host_wait(pid, options, result)))
		if (e != EINTR || !nuka_deliver()) return fail(e);
	nuka_deliver();
	if (result[0] && status) *status = result[1];
	return result[0];
}
pid_t waitpid(pid_t pid, int *status, int options) { return wait4(pid, status, options, 0); }
pid_t wait3(int *status, int options, struct rusage *usage) { return wait4(-1, status, options, usage); }
int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	int status = 0;
	if (type == P_PGID || options & WNOWAIT) return fail(EINVAL);
	if (!(options & WEXITED)) return fail(ECHILD); // there is no other news of a child
	pid_t p = wait4(type == P_PID ? (pid_t)id : -1, &status, options & WNOHANG, 0);
	if (p < 0) return -1;
	int killed = WIFSIGNALED(status);
	*info = (siginfo_t){.si_pid = p};
	if (p) info->si_signo = SIGCHLD, info->si_uid = ME, info->si_code = killed ? CLD_KILLED : CLD_EXITED;
	if (p) info->si_status = killed ? WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}
pid_t wait(int *status) { return wait4(-1, status, 0, 0); }

int system(const char *command)
{
	if (!command) return 1;
	pid_t p = fork();
	if (p == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)0);
		_exit(127);
	}
	int status = -1;
	return p < 0 || waitpid(p, &status, 0) < 0 ? -1 : status;
}

// The streams of popen and their processes.
static struct {
	FILE *file;
	pid_t pid;
} popened[64];
enum { POPENED = sizeof popened / sizeof *popened };

FILE *popen(const char *command, const char *mode)
{
	int fds[2], writes = *mode == 'w', i = 0;
	while (i < POPENED && popened[i].file) i++;
	if (i == POPENED) {
		errno = EMFILE;
		return 0;
	}
	if (pipe2(fds, O_CLOEXEC)) return 0;
	fflush(0);
	pid_t p = fork();
	if (p < 0) {
		close(fds[0]), close(fds[1]);
		return 0;
	}
	if (p == 0) {
		dup2(fds[!writes], !writes);
		execl("/bin/sh", "sh", "-c", command, (char *)0);
		_exit(127);
	}
	close(fds[!writes]);
	popened[i].pid = p;
	return popened[i].file = fdopen(fds[writes], writes ? "w" : "r");
}
int pclose(FILE *file)
{
	for (int i = 0; i < POPENED; i++) {
		if (popened[i].file != file) continue;
		int status = -1;
		fclose(file);
		popened[i].file = 0;
		waitpid(popened[i].pid, &status, 0);
		return status;
	}
	return fail(ECHILD);
}
