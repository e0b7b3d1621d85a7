# PCRE2, Perl's regular expressions as a library, and pcre2grep.
use autoconf.nu

export def main [] {
  autoconf package {
    name: pcre2
    version: "10.42"
    license: "BSD-3-Clause"
    homepage: "https://www.pcre.org/"
    src: (fetch debsrc pcre2 10.42-1+deb12u2 --hash b3-lziwgm7jdp7ydd54od63pq3m2glja3wa7rjljydhv2mc2mddelqa)
    commands: [pcre2grep pcre2test]
  }
}
