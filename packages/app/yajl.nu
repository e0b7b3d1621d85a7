# yajl, a small library for JSON, and json_reformat and json_verify.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: yajl
    version: "2.1.0"
    license: ISC
    homepage: "https://lloyd.github.io/yajl/"
    src: (fetch debsrc yajl 2.1.0-3+deb12u2 --patches --hash b3-hwbhv54lsmyr5vfcwi22y6edacgxii7d7za3mhoseoeafl6mzyeq)
    prepare: {|b|
      # Its own build asks for CMake.
      mkdir include
      cp -r src/api include/yajl
      (open --raw src/api/yajl_version.h.cmake | str replace "${YAJL_MAJOR}" "2" | str replace "${YAJL_MINOR}" "1" | str replace "${YAJL_MICRO}" "0"
        | save include/yajl/yajl_version.h)
      let programs = ([[name dir]; [json_reformat reformatter] [json_verify verify]]
        | each {|p| $"\t$\(CC) -O2 -Iinclude -o ($p.name) ($p.dir)/*.c libyajl.a\n" } | str join)
      $"all:\n\t$\(CC) -O2 -Iinclude -c src/*.c\n\tar rcs libyajl.a *.o\n($programs)" | save --force Makefile
    }
    copy: {bin: [json_reformat json_verify], lib: [libyajl.a], include: [include/yajl]}
    commands: [json_reformat json_verify]
  }
}
