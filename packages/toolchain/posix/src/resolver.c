// The resolver of names, without a network to ask.
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>

struct __res_state *__res_state(void)
{
	static struct __res_state s;
	return &s;
}
static int no_answer(void) { return h_errno = NO_RECOVERY, -1; }
int res_init(void) { return 0; }
int res_query(const char *name, int class, int type, unsigned char *answer, int n)
{
	return (void)name, (void)class, (void)type, (void)answer, (void)n, no_answer();
}
int res_querydomain(const char *name, const char *domain, int class, int type, unsigned char *answer, int n)
{
	return (void)domain, res_query(name, class, type, answer, n);
}
int res_search(const char *name, int class, int type, unsigned char *answer, int n) { return res_query(name, class, type, answer, n); }
int res_mkquery(int op, const char *name, int class, int type, const unsigned char *data, int len, const unsigned char *record,
                unsigned char *b, int n)
{
	return (void)op, (void)data, (void)len, (void)record, res_query(name, class, type, b, n);
}
int res_send(const unsigned char *query, int len, unsigned char *answer, int n) { return (void)query, (void)len, (void)answer, (void)n, no_answer(); }
int dn_comp(const char *name, unsigned char *b, int n, unsigned char **names, unsigned char **end)
{
	return (void)name, (void)b, (void)n, (void)names, (void)end, -1;
}
int dn_expand(const unsigned char *message, const unsigned char *end, const unsigned char *at, char *b, int n)
{
	return (void)message, (void)end, (void)at, (void)b, (void)n, -1;
}
int dn_skipname(const unsigned char *at, const unsigned char *end) { return (void)at, (void)end, -1; }
void herror(const char *what) { fprintf(stderr, "%s: %s\n", what, hstrerror(h_errno)); }
