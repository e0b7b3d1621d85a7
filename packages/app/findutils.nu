# GNU findutils: find, xargs and locate.
use ../lib/autoconf.nu

export def main [] {
  autoconf package {
    name: findutils
    version: "4.9.0"
    license: "GPL-3.0-or-later"
    homepage: "https://www.gnu.org/software/findutils/"
    src: (fetch debsrc findutils 4.9.0-4 --hash b3-wbzk3fei5m7dr3mstoxzk5i3mcc4axyrohzdt7uv5eqnxjcmyz2a)
    config: {gl_cv_func_strcasestr_linear: no} # it waits for an alarm, which does not end a loop here
    commands: [find xargs]
  }
}
