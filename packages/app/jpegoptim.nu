# jpegoptim, which makes JPEG images smaller.
use ../lib/autoconf.nu
use ../lib/libjpeg-turbo.nu

export def main [] {
  autoconf package {
    name: jpegoptim
    version: "1.4.7"
    license: "GPL-3.0-or-later"
    homepage: "https://github.com/tjko/jpegoptim"
    src: (fetch debsrc jpegoptim 1.4.7-1 --hash b3-zzyeyjgq7wl42cfmfajg2d46acb47w64zjr56nmgol6irtpam3jq)
    packages: [(libjpeg-turbo)]
  }
}
