# ccrypt, which encrypts files.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: ccrypt
    version: "1.11"
    license: "GPL-2.0-or-later"
    homepage: "https://ccrypt.sourceforge.net/"
    src: (fetch debsrc ccrypt 1.11-2 --hash b3-lvfoxi6kgehqqmbts32iq77cqe4p2tj4s2asesxhr7zhwgb2gztq)
    check: true
    commands: [ccrypt ccencrypt ccdecrypt ccat]
  }
}
