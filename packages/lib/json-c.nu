# JSON-C, a library for JSON with reference counts.
use cmake.nu

export def main [] {
  cmake package {
    name: json-c
    version: "0.16"
    license: MIT
    homepage: "https://github.com/json-c/json-c"
    src: (fetch debsrc json-c 0.16-2 --hash b3-gcq6xohkxqwj5qbpuedaqtf4vd2czvbujfglo7jbjgsphdzmdtla)
    options: [-DDISABLE_WERROR=ON]
    check: true
  }
}
