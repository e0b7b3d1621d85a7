# LibYAML, which reads and writes YAML.
use makefile.nu

export def main [] {
  makefile package {
    name: libyaml
    version: "0.2.5"
    license: MIT
    homepage: "https://pyyaml.org/wiki/LibYAML"
    src: (fetch debsrc libyaml 0.2.5-1 --hash b3-vqondbjoakonhjkppc3xebk6m5omqcfcug6hvuphh6vss57w666a)
    dir: src
    prepare: {|b| "libyaml.a: $(patsubst %.c,%.o,$(wildcard *.c))\n\t$(AR) rcs $@ $^\n" | save Makefile }
    make: ['CPPFLAGS=-I../include -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5 -DYAML_VERSION_STRING=\"0.2.5\"']
    copy: {lib: [libyaml.a], include: [../include/yaml.h]}
  }
}
