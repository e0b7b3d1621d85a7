// Signals. They are never asynchronous: a process takes them after a call that waits, and when it sends one to itself.
#define _GNU_SOURCE
#include "host.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct sigaction actions[NSIG];
static uint64_t blocked, handled, ignored;

static uint64_t bit(int s) { return s < 64 ? 1ULL << s : 0; }

void nuka_signals_begin(void)
{
	static int begun;
	if (begun) return;
	begun = 1;
	ignored = host_signals(GET_IGNORED, 0);
	for (int s = 1; s < 64; s++)
		if (ignored & bit(s)) actions[s].sa_handler = SIG_IGN;
}

static void set_blocked(uint64_t mask)
{
	blocked = mask;
	host_signals(SET_BLOCKED, blocked);
}

static void handle(int s)
{
	struct sigaction a = actions[s];
	uint64_t old = blocked;
	int e = errno;
	set_blocked(blocked | a.sa_mask | (a.sa_flags & SA_NODEFER ? 0 : bit(s)));
	if (a.sa_flags & SA_RESETHAND) signal(s, SIG_DFL);
	if (a.sa_flags & SA_SIGINFO) {
		siginfo_t info = {.si_signo = s};
		a.sa_sigaction(s, &info, 0);
	} else {
		a.sa_handler(s);
	}
	errno = e;
	set_blocked(old);
}

int nuka_deliver(void)
{
	int again = 1, s;
	while ((s = host_signals(TAKE_SIGNAL, 0)) > 0) {
		if (!(actions[s].sa_flags & SA_RESTART)) again = 0;
		handle(s);
	}
	return again;
}

int sigaction(int s, const struct sigaction *restrict a, struct sigaction *restrict old)
{
	nuka_signals_begin();
	if (s < 1 || s >= NSIG) return fail(EINVAL);
	if (old) *old = actions[s];
	if (!a) return 0;
	if (s == SIGKILL || s == SIGSTOP) return fail(EINVAL);
	actions[s] = *a;
	handled &= ~bit(s), ignored &= ~bit(s);
	if (a->sa_handler == SIG_IGN) ignored |= bit(s);
	else if (a->sa_handler != SIG_DFL) handled |= bit(s);
	host_signals(SET_HANDLED, handled);
	host_signals(SET_IGNORED, ignored);
	return 0;
}
__sighandler_t signal(int s, __sighandler_t h)
{
	struct sigaction a = {.sa_handler = h, .sa_flags = SA_RESTART}, old;
	return sigaction(s, &a, &old) ? SIG_ERR : old.sa_handler;
}
__sighandler_t bsd_signal(int s, __sighandler_t h) { return signal(s, h); }
__sighandler_t sysv_signal(int s, __sighandler_t h) { return signal(s, h); }
int siginterrupt(int s, int on)
{
	struct sigaction a;
	if (sigaction(s, 0, &a)) return -1;
	a.sa_flags = on ? a.sa_flags & ~SA_RESTART : a.sa_flags | SA_RESTART;
	return sigaction(s, &a, 0);
}

int sigemptyset(sigset_t *set) { return *set = 0, 0; }
int sigfillset(sigset_t *set) { return *set = ~0ULL, 0; }
int sigaddset(sigset_t *set, int s) { return *set |= bit(s), 0; }
int sigdelset(sigset_t *set, int s) { return *set &= ~bit(s), 0; }
int sigismember(const sigset_t *set, int s) { return (*set & bit(s)) != 0; }
int sigisemptyset(const sigset_t *set) { return !*set; }

int sigprocmask(int how, const sigset_t *restrict set, sigset_t *restrict old)
{
	if (old) *old = blocked;
	if (!set) return 0;
	switch (how) {
	case SIG_BLOCK: set_blocked(blocked | *set); break;
	case SIG_UNBLOCK: set_blocked(blocked & ~*set); break;
	case SIG_SETMASK: set_blocked(*set); break;
	default: return fail(EINVAL);
	}
	nuka_deliver();
	return 0;
}
int pthread_sigmask(int how, const sigset_t *restrict set, sigset_t *restrict old) { return sigprocmask(how, set, old) ? errno : 0; }
int sigpending(sigset_t *set) { return *set = host_signals(GET_PENDING, 0), 0; }
int sigsuspend(const sigset_t *mask)
{
	uint64_t old = blocked;
	blocked = *mask;
	host_sigsuspend(*mask);
	nuka_deliver();
	set_blocked(old);
	return fail(EINTR);
}
int sigpause(int s)
{
	sigset_t mask = blocked & ~bit(s);
	return sigsuspend(&mask);
}
static int change(int how, int s)
{
	sigset_t set = bit(s);
	return sigprocmask(how, &set, 0);
}
int sighold(int s) { return change(SIG_BLOCK, s); }
int sigrelse(int s) { return change(SIG_UNBLOCK, s); }
int sigignore(int s) { return signal(s, SIG_IGN) == SIG_ERR ? -1 : 0; }
__sighandler_t sigset(int s, __sighandler_t h)
{
	struct sigaction a = {.sa_handler = h}, old;
	uint64_t was = blocked & bit(s);
	if (sigaction(s, h == SIG_HOLD ? 0 : &a, &old) || change(h == SIG_HOLD ? SIG_BLOCK : SIG_UNBLOCK, s)) return SIG_ERR;
	return was ? SIG_HOLD : old.sa_handler;
}
int sigaltstack(const stack_t *restrict a, stack_t *restrict old) { return (void)a, (void)old, 0; }
// await takes the next signal of a set without its handler. It waits for one unless now is set, and runs the handlers of others meanwhile.
static int await(const sigset_t *set, int now)
{
	uint64_t old = blocked;
	int s;
	nuka_signals_begin();
	set_blocked(blocked & ~*set);
	host_signals(SET_HANDLED, handled | *set);
	while ((s = host_signals(TAKE_SIGNAL, 0)) == 0 && !now) host_sigsuspend(blocked);
	if (s > 0 && !(*set & bit(s))) handle(s), s = fail(EINTR);
	else if (s == 0) s = fail(EAGAIN);
	set_blocked(old);
	host_signals(SET_HANDLED, handled);
	return s;
}
int sigwait(const sigset_t *restrict set, int *restrict s)
{
	while ((*s = await(set, 0)) < 0)
		if (errno != EINTR) return errno;
	return 0;
}
int sigtimedwait(const sigset_t *restrict set, siginfo_t *restrict info, const struct timespec *restrict limit)
{
	int s = await(set, limit != 0); // no time passes while a process waits
	if (s > 0 && info) *info = (siginfo_t){.si_signo = s};
	return s;
}
int sigwaitinfo(const sigset_t *restrict set, siginfo_t *restrict info) { return sigtimedwait(set, info, 0); }

int kill(pid_t pid, int s)
{
	if (s < 0 || s >= NSIG) return fail(EINVAL);
	if (pid == 0 || pid == -1 || pid == -getpid()) pid = getpid();
	if (pid != getpid() || !s) return check(host_kill(pid < 0 ? -pid : pid, s));
	nuka_signals_begin();
	__sighandler_t h = actions[s].sa_handler;
	if (h == SIG_IGN) return 0;
	if (h != SIG_DFL) {
		if (blocked & bit(s)) return check(host_kill(pid, s));
		handle(s);
		return 0;
	}
	if (s == SIGCHLD || s == SIGCONT || s == SIGURG || s == SIGWINCH) return 0;
	host_exit2(s);
}
int killpg(pid_t p, int s) { return kill(-p, s); }
int raise(int s) { return kill(getpid(), s); }
int sigqueue(pid_t p, int s, union sigval v) { return (void)v, kill(p, s); }
int pthread_kill(pthread_t t, int s) { return (void)t, raise(s) ? errno : 0; }
_Noreturn void abort(void)
{
	raise(SIGABRT);
	host_exit2(SIGABRT);
}

static const char *const names[] = {
	"Unknown signal", "Hangup", "Interrupt", "Quit", "Illegal instruction", "Trace/breakpoint trap", "Aborted", "Bus error",
	"Arithmetic exception", "Killed", "User defined signal 1", "Segmentation fault", "User defined signal 2", "Broken pipe",
	"Alarm clock", "Terminated", "Stack fault", "Child process status", "Continued", "Stopped (signal)", "Stopped",
	"Stopped (tty input)", "Stopped (tty output)", "Urgent I/O condition", "CPU time limit exceeded", "File size limit exceeded",
	"Virtual timer expired", "Profiling timer expired", "Window changed", "I/O possible", "Power failure", "Bad system call"};
char *strsignal(int s) { return (char *)names[s > 0 && s < 32 ? s : 0]; }
void psignal(int s, const char *text)
{
	if (text && *text) fprintf(stderr, "%s: ", text);
	fprintf(stderr, "%s\n", strsignal(s));
}

// What sigsetjmp keeps beside the jump itself, in the second half of the buffer.
struct kept {
	int kept;
	sigset_t mask;
};
static struct kept *kept_of(void *buf) { return (struct kept *)((char *)buf + 64); }
void __nuka_savemask(void *buf, int save) { *kept_of(buf) = (struct kept){save, blocked}; }
int __nuka_wentmask(void *buf, int r)
{
	if (r && kept_of(buf)->kept) sigprocmask(SIG_SETMASK, &kept_of(buf)->mask, 0);
	return r;
}
