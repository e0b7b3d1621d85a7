# Lua 5.1, the version that many programs embed.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: lua5.1
    version: "5.1.5"
    license: MIT
    homepage: "https://www.lua.org/"
    src: (fetch debsrc lua5.1 5.1.5-9 --hash b3-2ppk7cga2nlc76ks7zacb3bjyp54wasdnhwwifxcs7vvuoovyyba)
    dir: src
    make: [generic]
    copy: {bin: [lua luac]}
  }
}
