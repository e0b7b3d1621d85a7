# libjpeg-turbo, JPEG images: cjpeg, djpeg, jpegtran and their library.
use makefile.nu

export def main [] {
  makefile package {
    name: libjpeg-turbo
    version: "2.1.5"
    license: "IJG AND BSD-3-Clause"
    homepage: "https://libjpeg-turbo.org/"
    src: (fetch debsrc libjpeg-turbo "1:2.1.5-2" --hash b3-lyxicdezofcco55w4fewx4nshp5bkrvjilchsp7sp2ajwqbbn7na)
    # Its own build asks for CMake.
    prepare: {|b|
      let definitions = {|list| $list | items {|name, value| $"#define ($name) ($value)\n" } | str join }
      do $definitions {JPEG_LIB_VERSION: 62, LIBJPEG_TURBO_VERSION: $b.version, LIBJPEG_TURBO_VERSION_NUMBER: 2001005, C_ARITH_CODING_SUPPORTED: 1
        D_ARITH_CODING_SUPPORTED: 1, MEM_SRCDST_SUPPORTED: 1, BITS_IN_JSAMPLE: 8} | save jconfig.h
      do $definitions {BUILD: '"nuka"', INLINE: inline, THREAD_LOCAL: "", PACKAGE_NAME: '"libjpeg-turbo"', VERSION: $"\"($b.version)\"", SIZEOF_SIZE_T: 4
        FALLTHROUGH: ""} | save jconfigint.h
      open --raw jversion.h.in | str replace @COPYRIGHT_YEAR@ 2023 | save jversion.h
      [
        "all: cjpeg djpeg jpegtran rdjpgcom wrjpgcom"
        "libjpeg.a: $(patsubst %.c,%.o,$(filter-out jcstest.c jpegtran.c jstdhuff.c jdatadst-tj.c jdatasrc-tj.c jdcol565.c jdmrg565.c %ext.c jsimd.c,$(wildcard j*.c)))"
        "\t$(AR) rcs $@ $^"
        "cjpeg: cjpeg.o cdjpeg.o rdgif.o rdppm.o rdbmp.o rdtarga.o rdswitch.o libjpeg.a"
        "djpeg: djpeg.o cdjpeg.o rdcolmap.o rdswitch.o wrgif.o wrppm.o wrbmp.o wrtarga.o libjpeg.a"
        "jpegtran: jpegtran.o cdjpeg.o rdswitch.o transupp.o libjpeg.a"
      ] | str join "\n" | $in + "\n" | save Makefile
    }
    make: ["CPPFLAGS=-I. -DBMP_SUPPORTED -DGIF_SUPPORTED -DPPM_SUPPORTED -DTARGA_SUPPORTED"]
    copy: {bin: [cjpeg djpeg jpegtran rdjpgcom wrjpgcom], lib: [libjpeg.a], include: [jpeglib.h jconfig.h jmorecfg.h jerror.h]}
  }
}
