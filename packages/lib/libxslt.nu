# libxslt, which transforms XML by stylesheets, and xsltproc.
use autoconf.nu
use libxml2.nu
use zlib.nu

export def main [] {
  autoconf package {
    name: libxslt
    version: "1.1.35"
    license: MIT
    homepage: "https://gitlab.gnome.org/GNOME/libxslt"
    src: (fetch debsrc libxslt 1.1.35-1+deb12u4 --hash b3-qivg2ubio6v4g7rj7si3iac44nrp5axv3p42mdevj4dkx6fthskq)
    configure: [--without-python --without-crypto]
    packages: [(libxml2) (zlib)]
    commands: [xsltproc]
  }
}
