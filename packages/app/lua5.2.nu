# Lua 5.2, an earlier version that programs embed.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: lua5.2
    version: "5.2.4"
    license: MIT
    homepage: "https://www.lua.org/"
    src: (fetch debsrc lua5.2 5.2.4-3 --hash b3-ao2hygg5gkmq7ucbxrat3br2x4dxa3drlholxl7is23egnqkl5ja)
    dir: src
    make: [posix]
    copy: {bin: [lua luac], lib: [liblua.a], include: [lua.h luaconf.h lualib.h lauxlib.h lua.hpp]}
    runs: [sh]
  }
}
