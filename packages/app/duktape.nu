# Duktape, a small interpreter of JavaScript.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: duktape
    version: "2.7.0"
    license: MIT
    homepage: "https://duktape.org/"
    src: (fetch debsrc duktape 2.7.0-2 --hash b3-3jlw7m2hfrm4smp7xxbhnlxpwgc5z7swtuxvaowngnxwjrqn25fa)
    make: [-f Makefile.cmdline]
    copy: {bin: [duk]}
  }
}
