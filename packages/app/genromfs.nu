# genromfs, which makes file systems of romfs.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: genromfs
    version: "0.5.2"
    license: "GPL-2.0-or-later"
    homepage: "https://romfs.sourceforge.net/"
    src: (fetch debsrc genromfs 0.5.2-4 --hash b3-4thmm7fmada7qnufayoz5wmwxhu34an3kl53ks56muwlsbwn4kvq)
    copy: {bin: [genromfs]}
  }
}
