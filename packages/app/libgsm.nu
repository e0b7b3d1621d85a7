# libgsm, which encodes speech as GSM phones do: toast, untoast and tcat.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: libgsm
    version: "1.0.22"
    license: "TU-Berlin-2.0"
    homepage: "https://www.quut.com/gsm/"
    src: (fetch debsrc libgsm 1.0.22-1 --hash b3-bjp255fexvlp2227kepncboul45c2llnlo6goajxg3q7foehjp5q)
    make: [lib/libgsm.a bin/toast bin/untoast bin/tcat]
    copy: {bin: [bin/*], lib: [lib/libgsm.a], include: [inc/gsm.h]}
    commands: [toast untoast tcat]
  }
}
