# mksh, the MirBSD Korn shell.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: mksh
    version: "59c"
    license: MirOS
    homepage: "http://www.mirbsd.org/mksh.htm"
    src: (fetch debsrc mksh 59c-28+deb12u1 --hash b3-yvqkyhiv6zwdqlbu5cnt46kyzvflciflqf5ewy7zj4blmkdc6zyq)
    prepare: {|b| "all:\n\tsh Build.sh -r\n" | save Makefile }
    copy: {bin: [mksh]}
  }
}
