# GNU coreutils, the programs for files, text and the shell: ls, cp, sort, date and a hundred others.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: coreutils
    version: "9.1"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/coreutils/"
    src: (fetch debsrc coreutils 9.1-1 --hash b3-rxr6gtmbeclllvyfvflmta2r5266bpie6uj4gxelutvh6fmt2n3a)
    make: ["LIBS=-lc-printscan-long-double"]
    commands: [b2sum base32 base64 basename basenc cat chgrp chmod chown cksum comm cp csplit cut date dd df dir dircolors dirname du echo env expand expr factor
      "false" fmt fold groups head id install join kill link ln ls md5sum mkdir mknod mktemp mv nl nohup nproc numfmt od paste pathchk pr printenv printf ptx
      pwd readlink realpath rm rmdir seq sha1sum sha224sum sha256sum sha384sum sha512sum shred shuf sleep sort split stat sum sync tac tail tee test timeout
      touch tr "true" truncate tsort tty uname unexpand uniq unlink vdir wc whoami yes]
  }
}
