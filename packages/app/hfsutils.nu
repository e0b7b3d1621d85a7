# hfsutils, which reads and writes disks of old Macs.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: hfsutils
    version: "3.2.6"
    license: "GPL-2.0-or-later"
    homepage: "https://www.mars.org/home/rob/proj/hfs/"
    src: (fetch debsrc hfsutils 3.2.6-15 --hash b3-43d7p6aqjxekezeiuogo6l2es2vmsmfqpnz3uurzjdgcacgok4iq)
    make: ["CC=cc -D_Thread_local="] # it declares errno
    copy: {bin: [hformat hmount humount hls hcopy hmkdir hdel hvol hattrib hcd hpwd hrename hrmdir]}
  }
}
