# pcal, which prints calendars as PostScript or HTML.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: pcal
    version: "4.11.0"
    license: "LicenseRef-pcal"
    homepage: "https://pcal.sourceforge.net/"
    src: (fetch debsrc pcal 4.11.0-3 --hash b3-b7fthvdk3ut4wgua3m2udt5ciqdm27wlu5y4bvq6pafv4md4qo5a)
    make: [CC=cc PACK=true exec/pcal]
    copy: {bin: [exec/pcal]}
  }
}
