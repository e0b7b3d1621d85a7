# GNU units, which converts between units.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: units
    version: "2.22"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/units/"
    src: (fetch debsrc units 2.22-2 --hash b3-vdndh6xy55qqav6646lfxexv72lm6sdysp6tfnazpcindmsmbega)
    check: true
  }
}
