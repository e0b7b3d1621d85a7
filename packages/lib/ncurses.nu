# ncurses, which draws on terminals, and tput, clear, tset, tic and infocmp.
# The library knows the usual terminals itself: its programs need no files of theirs.
use autoconf.nu

export def main [] {
  autoconf package {
    name: ncurses
    version: "6.4"
    license: "X11-distribute-modifications-variant"
    homepage: "https://invisible-island.net/ncurses/"
    src: (fetch debsrc ncurses 6.4-4 --hash b3-uoqyzs32tnnlengx74ef3pc56e74fdx7obhoilqnjcpm544cgcxq)
    configure: [--enable-widec --enable-overwrite --without-debug --without-cxx --without-cxx-binding --without-ada --without-manpages --without-tests --disable-db-install]
    finish: {|b|
      let terminals = [ansi dumb linux vt100 vt220 xterm xterm-256color screen screen-256color tmux tmux-256color rxvt rxvt-256color alacritty konsole foot]
      ^sh ncurses/tinfo/MKfallback.sh none misc/terminfo.src progs/tic progs/infocmp ...$terminals | save --force ncurses/fallback.c
      let programs = ([clear infocmp tabs tic toe tput tset] | each {|name| $"progs/($name)" })
      rm objects/fallback.o lib/libncursesw.a ...$programs
      ^make
      cp ...(glob lib/*.a) $"($b.out)/lib"
      cp ...$programs $"($b.out)/bin"
      for name in [form menu ncurses panel] { symlink $"lib($name)w.a" $"($b.out)/lib/lib($name).a" }
    }
    commands: [tput clear tset tabs tic infocmp toe]
  }
}
