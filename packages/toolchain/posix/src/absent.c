// What there is none of: a network, a system log, mounts, logins. Programs link, and each call says so.
#define _GNU_SOURCE
#include "host.h"
#include <mntent.h>
#include <netdb.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <syslog.h>
#include <utmp.h>

int h_errno;
static void *unknown_host(void) { return h_errno = HOST_NOT_FOUND, (void *)0; }
const char *hstrerror(int e) { return (void)e, "no network"; }
const char *gai_strerror(int e) { return (void)e, "no network"; }
struct hostent *gethostbyname(const char *name) { return (void)name, unknown_host(); }
struct hostent *gethostbyaddr(const void *a, socklen_t n, int type) { return (void)a, (void)n, (void)type, unknown_host(); }
struct servent *getservbyname(const char *name, const char *proto) { return (void)name, (void)proto, (void *)0; }
struct servent *getservbyport(int port, const char *proto) { return (void)port, (void)proto, (void *)0; }
struct protoent *getprotobyname(const char *name) { return (void)name, (void *)0; }
int getaddrinfo(const char *restrict host, const char *restrict service, const struct addrinfo *restrict hints, struct addrinfo **restrict r)
{
	return (void)host, (void)service, (void)hints, (void)r, EAI_FAIL;
}
void freeaddrinfo(struct addrinfo *a) { (void)a; }
int getnameinfo(const struct sockaddr *restrict a, socklen_t n, char *restrict host, socklen_t hn, char *restrict service, socklen_t sn, int flags)
{
	return (void)a, (void)n, (void)host, (void)hn, (void)service, (void)sn, (void)flags, EAI_FAIL;
}

int socket(int domain, int type, int proto) { return (void)domain, (void)type, (void)proto, fail(EAFNOSUPPORT); }
int socketpair(int domain, int type, int proto, int fds[2]) { return (void)domain, (void)type, (void)proto, (void)fds, fail(EAFNOSUPPORT); }
int bind(int s, const struct sockaddr *a, socklen_t n) { return (void)s, (void)a, (void)n, fail(ENOTSOCK); }
int connect(int s, const struct sockaddr *a, socklen_t n) { return (void)s, (void)a, (void)n, fail(ENOTSOCK); }
int listen(int s, int n) { return (void)s, (void)n, fail(ENOTSOCK); }
int getsockname(int s, struct sockaddr *restrict a, socklen_t *restrict n) { return (void)s, (void)a, (void)n, fail(ENOTSOCK); }
int getpeername(int s, struct sockaddr *restrict a, socklen_t *restrict n) { return (void)s, (void)a, (void)n, fail(ENOTSOCK); }
int setsockopt(int s, int level, int name, const void *v, socklen_t n) { return (void)s, (void)level, (void)name, (void)v, (void)n, fail(ENOTSOCK); }
ssize_t sendto(int s, const void *b, size_t n, int flags, const struct sockaddr *a, socklen_t len)
{
	return (void)s, (void)b, (void)n, (void)flags, (void)a, (void)len, fail(ENOTSOCK);
}
ssize_t recvfrom(int s, void *restrict b, size_t n, int flags, struct sockaddr *restrict a, socklen_t *restrict len)
{
	return (void)s, (void)b, (void)n, (void)flags, (void)a, (void)len, fail(ENOTSOCK);
}

void openlog(const char *name, int options, int facility) { (void)name, (void)options, (void)facility; }
void closelog(void) {}
void syslog(int priority, const char *format, ...) { (void)priority, (void)format; }
void vsyslog(int priority, const char *format, va_list args) { (void)priority, (void)format, (void)args; }
int setlogmask(int mask) { return mask; }

FILE *setmntent(const char *path, const char *mode) { return (void)path, (void)mode, (void *)0; }
struct mntent *getmntent(FILE *f) { return (void)f, (void *)0; }
int endmntent(FILE *f) { return (void)f, 1; }
char *hasmntopt(const struct mntent *m, const char *option) { return (void)m, (void)option, (void *)0; }

void setutent(void) {}
void endutent(void) {}
struct utmp *getutent(void) { return 0; }
int utmpname(const char *path) { return (void)path, 0; }
struct utmp *getutid(const struct utmp *u) { return (void)u, (void *)0; }
struct utmp *getutline(const struct utmp *u) { return (void)u, (void *)0; }
struct utmp *pututline(const struct utmp *u) { return (void)u, (void)fail(EPERM), (void *)0; }
void updwtmp(const char *path, const struct utmp *u) { (void)path, (void)u; }
