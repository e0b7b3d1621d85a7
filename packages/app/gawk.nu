# GNU awk, which processes text by patterns.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: gawk
    version: "5.2.1"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/gawk/"
    src: (fetch debsrc gawk "1:5.2.1-2" --hash b3-rmn52udwd6q2vfdtta5gon4ozl2khaxvibcw5lgn3kcnvtt2ivsq)
    configure: [--disable-extensions]
    make: ["SUBDIRS=support ."] # Debian removed the documents, and what needs them
    runs: [sh]
  }
}
