// Terminals: a program can find out that it has one, and cannot set it.
#define _GNU_SOURCE
#include "host.h"
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static int terminal(int fd) { return isatty(fd) ? 0 : fail(ENOTTY); }
int tcgetattr(int fd, struct termios *t) { return memset(t, 0, sizeof *t), terminal(fd); }
int tcsetattr(int fd, int when, const struct termios *t) { return (void)when, (void)t, terminal(fd); }
int tcsendbreak(int fd, int n) { return (void)n, terminal(fd); }
int tcdrain(int fd) { return terminal(fd); }
int tcflush(int fd, int queue) { return (void)queue, terminal(fd); }
int tcflow(int fd, int action) { return (void)action, terminal(fd); }
pid_t tcgetpgrp(int fd) { return (void)fd, fail(ENOTTY); }
int tcsetpgrp(int fd, pid_t group) { return (void)fd, (void)group, fail(ENOTTY); }
pid_t tcgetsid(int fd) { return (void)fd, fail(ENOTTY); }
speed_t cfgetospeed(const struct termios *t) { return t->__c_ospeed; }
speed_t cfgetispeed(const struct termios *t) { return t->__c_ispeed; }
int cfsetospeed(struct termios *t, speed_t s) { return t->__c_ospeed = s, 0; }
int cfsetispeed(struct termios *t, speed_t s) { return t->__c_ispeed = s, 0; }
void cfmakeraw(struct termios *t) { t->c_lflag &= ~(ECHO | ICANON | ISIG | IEXTEN); }
int ttyname_r(int fd, char *b, size_t n) { return (void)fd, (void)b, (void)n, ENOTTY; }
char *ttyname(int fd)
{
	(void)fd;
	errno = ENOTTY;
	return 0;
}
char *ctermid(char *b)
{
	static char name[] = "/dev/tty";
	return b ? strcpy(b, name) : name;
}

// There are no pseudo-terminals.
int posix_openpt(int flags) { return (void)flags, fail(ENOSYS); }
int grantpt(int fd) { return (void)fd, fail(ENOTTY); }
int unlockpt(int fd) { return (void)fd, fail(ENOTTY); }
char *ptsname(int fd) { return (void)fd, (void)fail(ENOTTY), (void *)0; }
int openpty(int *leader, int *follower, char *name, const struct termios *t, const struct winsize *size)
{
	return (void)leader, (void)follower, (void)name, (void)t, (void)size, fail(ENOSYS);
}
pid_t forkpty(int *leader, char *name, const struct termios *t, const struct winsize *size)
{
	return (void)leader, (void)name, (void)t, (void)size, fail(ENOSYS);
}
int login_tty(int fd) { return (void)fd, fail(ENOTTY); }
