# ncurses, which draws on terminals, with the descriptions of the common ones.
use autoconf.nu

export def main [] {
  autoconf package {
    name: ncurses
    version: "6.4"
    license: "X11-distribute-modifications-variant"
    homepage: "https://invisible-island.net/ncurses/"
    src: (fetch debsrc ncurses 6.4-4)
    configure: [--without-cxx --without-cxx-binding --without-ada --without-tests --without-manpages --enable-widec --with-fallbacks=xterm,xterm-256color,linux,screen,tmux,vt100,dumb]
  }
}
