// Users and groups, of which there is one each, the machine's names, and limits: the same on every machine.
#define _GNU_SOURCE
#include "host.h"
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

uid_t getuid(void) { return ME; }
uid_t geteuid(void) { return ME; }
gid_t getgid(void) { return ME; }
gid_t getegid(void) { return ME; }
int getresuid(uid_t *a, uid_t *b, uid_t *c) { return *a = *b = *c = ME, 0; }
int getresgid(gid_t *a, gid_t *b, gid_t *c) { return *a = *b = *c = ME, 0; }
static int only_me(unsigned id) { return id == ME || id == -1U ? 0 : fail(EPERM); }
int setuid(uid_t u) { return only_me(u); }
int seteuid(uid_t u) { return only_me(u); }
int setgid(gid_t g) { return only_me(g); }
int setegid(gid_t g) { return only_me(g); }
int setreuid(uid_t a, uid_t b) { return only_me(a) ? -1 : only_me(b); }
int setregid(gid_t a, gid_t b) { return only_me(a) ? -1 : only_me(b); }
int setresuid(uid_t a, uid_t b, uid_t c) { return setreuid(a, b) ? -1 : only_me(c); }
int setresgid(gid_t a, gid_t b, gid_t c) { return setregid(a, b) ? -1 : only_me(c); }

int getgroups(int n, gid_t list[])
{
	if (n > 0) list[0] = ME;
	return 1;
}
int setgroups(size_t n, const gid_t *list) { return (void)n, (void)list, 0; }
int initgroups(const char *user, gid_t g) { return (void)user, (void)g, 0; }
int getgrouplist(const char *user, gid_t g, gid_t *list, int *n)
{
	(void)user;
	if (*n > 0) list[0] = g;
	*n = 1;
	return 1;
}

static struct passwd me = {"nuka", "x", ME, ME, "nuka", "/nuka", "/bin/sh"};
static int user_at;
void setpwent(void) { user_at = 0; }
void endpwent(void) { user_at = 0; }
struct passwd *getpwent(void) { return user_at++ ? 0 : &me; }
struct passwd *getpwuid(uid_t u) { return u == ME ? &me : 0; }
struct passwd *getpwnam(const char *name) { return strcmp(name, me.pw_name) ? 0 : &me; }
static int give_user(struct passwd *found, struct passwd *p, struct passwd **r)
{
	if ((*r = found ? p : 0)) *p = *found;
	return 0;
}
int getpwuid_r(uid_t u, struct passwd *p, char *b, size_t n, struct passwd **r) { return (void)b, (void)n, give_user(getpwuid(u), p, r); }
int getpwnam_r(const char *s, struct passwd *p, char *b, size_t n, struct passwd **r) { return (void)b, (void)n, give_user(getpwnam(s), p, r); }

static char *members[] = {0};
static struct group us = {"nuka", "x", ME, members};
static int group_at;
void setgrent(void) { group_at = 0; }
void endgrent(void) { group_at = 0; }
struct group *getgrent(void) { return group_at++ ? 0 : &us; }
struct group *getgrgid(gid_t g) { return g == ME ? &us : 0; }
struct group *getgrnam(const char *name) { return strcmp(name, us.gr_name) ? 0 : &us; }
static int give_group(struct group *found, struct group *p, struct group **r)
{
	if ((*r = found ? p : 0)) *p = *found;
	return 0;
}
int getgrgid_r(gid_t g, struct group *p, char *b, size_t n, struct group **r) { return (void)b, (void)n, give_group(getgrgid(g), p, r); }
int getgrnam_r(const char *s, struct group *p, char *b, size_t n, struct group **r) { return (void)b, (void)n, give_group(getgrnam(s), p, r); }

static int copy(char *b, size_t n, const char *text) { return snprintf(b, n, "%s", text) < (int)n ? 0 : fail(ENAMETOOLONG); }
char *getlogin(void) { return me.pw_name; }
int getlogin_r(char *b, size_t n) { return copy(b, n, me.pw_name) ? ERANGE : 0; }
char *getpass(const char *prompt)
{
	(void)prompt;
	errno = ENXIO; // there is no terminal to ask
	return 0;
}
int gethostname(char *b, size_t n) { return copy(b, n, "localhost"); }
int getdomainname(char *b, size_t n) { return copy(b, n, "(none)"); }
int sethostname(const char *b, size_t n) { return (void)b, (void)n, fail(EPERM); }
long gethostid(void) { return 1; }
int uname(struct utsname *u)
{
	memset(u, 0, sizeof *u);
	strcpy(u->sysname, "WASI");
	strcpy(u->nodename, "localhost");
	strcpy(u->release, "1");
	strcpy(u->version, "1");
	strcpy(u->machine, "wasm32");
	return 0;
}

enum { DESCRIPTORS = 4096, STACK = 8 << 20 };
int getdtablesize(void) { return DESCRIPTORS; }
int getrlimit(int which, struct rlimit *l)
{
	l->rlim_cur = l->rlim_max = which == RLIMIT_NOFILE ? DESCRIPTORS : which == RLIMIT_STACK ? STACK : RLIM_INFINITY;
	return 0;
}
int setrlimit(int which, const struct rlimit *l) { return (void)which, (void)l, 0; }
int nice(int n) { return (void)n, 0; }
int getpriority(int which, unsigned who) { return (void)which, (void)who, 0; }
int setpriority(int which, unsigned who, int n) { return (void)which, (void)who, (void)n, 0; }
int getloadavg(double *list, int n)
{
	for (int i = 0; i < n; i++) list[i] = 0;
	return n;
}
int sched_getaffinity(pid_t p, size_t n, void *set)
{
	(void)p;
	memset(set, 0, n);
	*(unsigned long *)set = 1;
	return 0;
}
int sched_setaffinity(pid_t p, size_t n, const void *set) { return (void)p, (void)n, (void)set, 0; }
