# ncurses, which draws on terminals, with the descriptions of the common ones.
use autoconf.nu

export def main [] {
  autoconf package {
    name: ncurses
    version: "6.4"
    license: "X11-distribute-modifications-variant"
    homepage: "https://invisible-island.net/ncurses/"
    src: (fetch debsrc ncurses 6.4-4 --hash b3-uoqyzs32tnnlengx74ef3pc56e74fdx7obhoilqnjcpm544cgcxq)
    configure: [--without-cxx --without-cxx-binding --without-ada --without-tests --without-manpages --enable-widec --with-fallbacks=xterm,xterm-256color,linux,screen,tmux,vt100,dumb]
  }
}
