// Sleeping, and the alarm that ends it: an alarm arrives when a sleep would outlast it.
#define _GNU_SOURCE
#include "host.h"
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

static const int64_t second = 1000000000;
static int64_t alarm_at; // on the monotonic clock; 0 without an alarm

static int64_t now(void)
{
	__wasi_timestamp_t t = 0;
	return __wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, &t) ? 0 : (int64_t)t;
}

static unsigned set_alarm(int64_t ns)
{
	int64_t t = now(), left = alarm_at ? alarm_at - t : 0;
	alarm_at = ns > 0 ? t + ns : 0;
	return left > 0 ? (left + second - 1) / second : 0;
}
unsigned alarm(unsigned n) { return set_alarm(n * second); }
unsigned ualarm(unsigned n, unsigned again) { return (void)again, set_alarm(n * 1000LL); }

int nanosleep(const struct timespec *want, struct timespec *left)
{
	if (want->tv_sec < 0 || want->tv_nsec < 0 || want->tv_nsec >= second) return fail(EINVAL);
	int64_t ns = want->tv_sec > 4000000000LL ? 4000000000LL * second : want->tv_sec * second + want->tv_nsec;
	int64_t t = now(), wait = ns;
	int rings = alarm_at && alarm_at - t < ns;
	if (rings) wait = alarm_at > t ? alarm_at - t : 0;
	__wasi_subscription_t sub = {.u = {
		.tag = __WASI_EVENTTYPE_CLOCK,
		.u.clock = {.id = __WASI_CLOCKID_MONOTONIC, .timeout = wait, .precision = 1},
	}};
	__wasi_event_t event;
	__wasi_size_t n;
	int e = wait ? __wasi_poll_oneoff(&sub, &event, 1, &n) : 0;
	if (e) return fail(e);
	if (!rings) return 0;
	alarm_at = 0;
	if (left) *left = (struct timespec){(ns - wait) / second, (ns - wait) % second};
	raise(SIGALRM);
	return fail(EINTR);
}
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *want, struct timespec *left)
{
	struct timespec t = *want, n;
	if (flags & TIMER_ABSTIME) {
		if (clock_gettime(clock, &n)) return errno;
		int64_t d = (t.tv_sec - n.tv_sec) * second + t.tv_nsec - n.tv_nsec;
		if (d <= 0) return 0;
		t = (struct timespec){d / second, d % second};
	}
	return nanosleep(&t, left) ? errno : 0;
}
unsigned sleep(unsigned n)
{
	struct timespec t = {n, 0};
	return nanosleep(&t, &t) ? t.tv_sec + (t.tv_nsec > 0) : 0;
}
int usleep(useconds_t n)
{
	struct timespec t = {n / 1000000, n % 1000000 * 1000};
	return nanosleep(&t, 0);
}
int pause(void)
{
	struct timespec forever = {1LL << 31, 0};
	sigset_t blocked;
	if (alarm_at) return nanosleep(&forever, 0);
	sigprocmask(SIG_BLOCK, 0, &blocked);
	return sigsuspend(&blocked);
}

// Timers of intervals never ring.
int setitimer(int which, const struct itimerval *restrict t, struct itimerval *restrict old)
{
	(void)which, (void)t;
	if (old) memset(old, 0, sizeof *old);
	return 0;
}
int getitimer(int which, struct itimerval *t) { return (void)which, memset(t, 0, sizeof *t), 0; }

// The clock cannot be set, and local time is UTC.
int clock_settime(clockid_t clock, const struct timespec *t) { return (void)clock, (void)t, fail(EPERM); }
int settimeofday(const struct timeval *t, const struct timezone *zone) { return (void)t, (void)zone, fail(EPERM); }
long timezone;
int daylight;
char *tzname[2] = {"UTC", "UTC"};
void tzset(void) {}
