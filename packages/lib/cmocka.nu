# cmocka, a library for tests of C with mock objects.
use cmake.nu

export def main [] {
  cmake package {
    name: cmocka
    version: "1.1.5"
    license: "Apache-2.0"
    homepage: "https://cmocka.org/"
    src: (fetch debsrc cmocka 1.1.5-2.1 --hash b3-fiavbmiwd3mdloz27ob6ewe2ncy5zyldpop7zlssryph54livc3a)
    # It defines a type of stdint.h if it does not know the platform.
    prepare: {|b| open --raw include/cmocka.h | str replace --regex '#if !defined\(_UINTPTR_T\)' "#include <stdint.h>\n#define _UINTPTR_T_DEFINED\n$0" | save --force include/cmocka.h }
    options: [-DWITH_EXAMPLES=OFF]
  }
}
