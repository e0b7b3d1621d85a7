#ifndef _RESOLV_H
#define _RESOLV_H
#include <arpa/nameser.h>
#include <netinet/in.h>
#ifdef __cplusplus
extern "C" {
#endif
#define MAXNS 3
#define MAXDNSRCH 6
struct __res_state {
  int retrans, retry; unsigned long options; int nscount; struct sockaddr_in nsaddr_list[MAXNS];
  unsigned short id; char *dnsrch[MAXDNSRCH + 1]; char defdname[256]; unsigned ndots;
};
typedef struct __res_state *res_state;
struct __res_state *__res_state(void);
#define _res (*__res_state())
#define RES_INIT 1
#define RES_DEBUG 2
#define RES_USEVC 8
#define RES_RECURSE 64
#define RES_DEFNAMES 128
#define RES_DNSRCH 512
#define _PATH_RESCONF "/etc/resolv.conf"
int res_init(void);
int res_query(const char *, int, int, unsigned char *, int);
int res_querydomain(const char *, const char *, int, int, unsigned char *, int);
int res_search(const char *, int, int, unsigned char *, int);
int res_mkquery(int, const char *, int, int, const unsigned char *, int, const unsigned char *, unsigned char *, int);
int res_send(const unsigned char *, int, unsigned char *, int);
int dn_comp(const char *, unsigned char *, int, unsigned char **, unsigned char **);
int dn_expand(const unsigned char *, const unsigned char *, const unsigned char *, char *, int);
int dn_skipname(const unsigned char *, const unsigned char *);
#ifdef __cplusplus
}
#endif
#endif
