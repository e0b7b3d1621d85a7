// Translations, of which there are none: each text is its own.
#include <libintl.h>
#include <stddef.h>

static const char *of(const char *one, const char *many, unsigned long n) { return n == 1 ? one : many; }
char *gettext(const char *text) { return (char *)text; }
char *dgettext(const char *domain, const char *text) { return (void)domain, (char *)text; }
char *dcgettext(const char *domain, const char *text, int category) { return (void)domain, (void)category, (char *)text; }
char *ngettext(const char *one, const char *many, unsigned long n) { return (char *)of(one, many, n); }
char *dngettext(const char *domain, const char *one, const char *many, unsigned long n) { return (void)domain, (char *)of(one, many, n); }
char *dcngettext(const char *domain, const char *one, const char *many, unsigned long n, int category)
{
	return (void)domain, (void)category, (char *)of(one, many, n);
}
char *textdomain(const char *domain) { return (char *)(domain && *domain ? domain : "messages"); }
char *bindtextdomain(const char *domain, const char *dir) { return domain && *domain ? (char *)dir : NULL; }
char *bind_textdomain_codeset(const char *domain, const char *set) { return (void)domain, (void)set, NULL; }
