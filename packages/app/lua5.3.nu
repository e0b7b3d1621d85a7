# Lua 5.3, an earlier version that programs embed.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: lua5.3
    version: "5.3.6"
    license: MIT
    homepage: "https://www.lua.org/"
    src: (fetch debsrc lua5.3 5.3.6-2 --hash b3-fzqt6dtflthozoc2xgg3gjqoy3hmvyyns36qld2fmoo6w2hpnwca)
    dir: src
    make: [posix]
    copy: {bin: [lua luac], lib: [liblua.a], include: [lua.h luaconf.h lualib.h lauxlib.h lua.hpp]}
    runs: [sh]
  }
}
