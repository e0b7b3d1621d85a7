# hexedit, an editor of bytes.
use ../lib/makefile.nu
use ../lib/ncurses.nu

export def main [] {
  makefile package {
    name: hexedit
    version: "1.6"
    license: "GPL-2.0-or-later"
    homepage: "http://rigaux.org/hexedit.html"
    src: (fetch debsrc hexedit 1.6-1 --hash b3-kecxwf6pkkivxm3cza2wd75v6ngxmoqqgpwjlwsvitucvlllt5wa)
    packages: [(ncurses)]
    prepare: {|b| # Its configure script has to be made by autoconf.
      [FCNTL_H UNISTD_H SYS_WAIT_H LIBGEN_H BASENAME STRERROR STRDUP MEMRCHR MEMMEM COLORS DECL_BASENAME DECL_DIRNAME DECL_MEMMEM DECL_MEMRCHR] | each {|n| $"#define HAVE_($n) 1\n" } | str join | "#define _GNU_SOURCE\n" + $in | save config.h
      "hexedit: $(patsubst %.c,%.o,$(wildcard *.c))\n\t$(CC) -o $@ $^ -lncurses\n" | save Makefile
    }
    copy: {bin: [hexedit]}
  }
}
