# fcrackzip, which finds lost passwords of zip archives.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: fcrackzip
    version: "1.0"
    license: "GPL-2.0-or-later"
    homepage: "http://oldhome.schmorp.de/marc/fcrackzip.html"
    src: (fetch debsrc fcrackzip 1.0-11 --hash b3-enieig5eeaj2uy5arnrz7c25nn3nybblw55vrw67kzcpribe4xna)
    commands: [fcrackzip]
  }
}
