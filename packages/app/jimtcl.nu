# Jim Tcl, a small Tcl.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: jimtcl
    version: "0.81"
    license: "BSD-2-Clause"
    homepage: "http://jim.tcl.tk/"
    src: (fetch debsrc jimtcl 0.81+dfsg0-2 --hash b3-srrkbhsfsyxnd64tn36ineeyufdr4crmh6lkxksbkrd2pkqbbjfa)
    configure: ["--build=wasm32-unknown-wasi" "--without-ext=syslog" --disable-docs]
    runs: [sh]
    commands: [jimsh]
  }
}
