# GNU sed, which edits streams of text.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: sed
    version: "4.9"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/sed/"
    src: (fetch debsrc sed 4.9-1+deb12u1 --hash b3-x4kl7biaj3cksvdcxowv375tw7rxpajatsncmey4jzoy5ziw2hjq)
  }
}
