# uni2ascii and ascii2uni, between UTF-8 and its notations in ASCII.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: uni2ascii
    version: "4.18"
    license: "GPL-3.0-only"
    homepage: "https://billposer.org/Software/uni2ascii.html"
    src: (fetch debsrc uni2ascii 4.18-6 --hash b3-axkwy766tr7p4u3qknjnvpky2xmubwyph5bbrzylxsrpaifmfbhq)
    commands: [uni2ascii ascii2uni]
  }
}
