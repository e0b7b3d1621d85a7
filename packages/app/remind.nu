# Remind, a calendar and alarm with a language for dates.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: remind
    version: "04.02.03"
    license: "GPL-2.0-only"
    homepage: "https://dianne.skoll.ca/projects/remind/"
    src: (fetch debsrc remind 04.02.03-4 --hash b3-ejc24fxdodmdkgegoebihmwhidbjthme5uz5q3kbe5qpvkywoq3a)
    make: [-C src]
    copy: {bin: [src/remind src/rem2ps]}
  }
}
