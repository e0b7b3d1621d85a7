# libsodium, cryptography that is hard to use wrongly.
use autoconf.nu

export def main [] {
  autoconf package {
    name: libsodium
    version: "1.0.18"
    license: ISC
    homepage: "https://libsodium.org/"
    src: (fetch crate libsodium-sys "0.2.7" --hash b3-gykazh2kxu5h4mpdgncshtu7hrpuqzmvxyqt5wfxourpc3q53jeq)
    dir: libsodium
    configure: [--disable-asm --disable-ssp --disable-pie]
  }
}
