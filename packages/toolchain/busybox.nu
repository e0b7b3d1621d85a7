# BusyBox: the small utilities that configure scripts and makefiles call, from awk to xargs, in one program.
# No shell and no make is needed to build it: this file does what its scripts and Kbuild do.
use ./clang.nu
use ./posix.nu
use ../lib/c.nu

export const version = "1.35.0"

# The lines of files, without a prefix that marks them in C sources.
def marked [files: list<string>, mark: string] {
  $files | each {|file| open --raw $file | into binary | decode utf-8 | lines | where {|l| $l starts-with $mark } | str replace $mark "" } | flatten
}

# include/autoconf.h: each option that the sources know is on or off, a number or a text.
def autoconf [text: string, on: list<string>] {
  $text | split row --regex '(?m)^\s*config ' | skip 1 | each {|entry|
    let name = ($entry | lines | first | str trim)
    let type = ($entry | parse --regex '(?m)^\s+(bool|tristate|int|string|hex)\b' | get -o 0.capture0 | default "bool")
    let value = if $type in [bool tristate] { if $name in $on { "1" } } else {
      $entry | parse --regex '(?m)^\s+default (".*?"|\S+)' | get -o 0.capture0 | default (if $type == "string" { '""' } else { "0" })
    }
    if $value == null {
      $"#undef CONFIG_($name)\n#define ENABLE_($name) 0\n#define IF_($name)\(...)\n#define IF_NOT_($name)\(...) __VA_ARGS__\n"
    } else {
      $"#define CONFIG_($name) ($value)\n#define ENABLE_($name) 1\n#define IF_($name)\(...) __VA_ARGS__\n#define IF_NOT_($name)\(...)\n"
    }
  } | str join
}

# The sources that the options ask for, as the Kbuild files of a folder say.
def chosen [dir: string, on: list<string>] {
  let rules = (open --raw $"($dir)/Kbuild.src" | str replace --all "\\\n" " " | lines)
  [...$rules ...(marked (glob $"($dir)/*.c") "//kbuild:")]
    | parse --regex '^(?:lib-y|COMMON_FILES|lib-\$\(CONFIG_(?<option>\w+)\))\s*(?:\+|:)?=\s*(?<objects>.*)$'
    | where {|r| ($r.option | is-empty) or $r.option in $on }
    | each {|r| $r.objects | parse --regex '(?<name>[\w-]+)\.o\b' | get name } | flatten | uniq
    | each {|name| $"($dir)/($name).c" }
}

export def main [] {
  derivation {
    name: busybox
    version: $version
    role: tool
    license: "GPL-2.0-only"
    homepage: "https://busybox.net/"
    description: "Small utilities in one program, for builds: coreutils, sed, grep, awk, find, tar and others."
    src: {code: (fetch debsrc busybox "1:1.35.0-4+deb12u1" --hash b3-o4vcxuivxwhqu6ohww4pzrecpdizlz4tooutnwb4jf2j5hfi2h3a), options: (fetch path ./busybox/options)}
    packages: [(clang) (posix)]
    commands: [busybox]

    build: {|b|
      let code = $b.src.code
      let on = (open --raw $b.src.options | str trim | split row --regex '\s+')
      let files = [...(glob $"($code)/*/*.c") ...(glob $"($code)/*/*/*.c")]
      mkdir include applets
      let options = [...(glob $"($code)/**/Config.src") $"($code)/Config.in"] | each {|f| open --raw $f } | str join "\n"
      autoconf ([$options ...(marked $files "//config:")] | str join "\n") $on | save include/autoconf.h
      let applets = (marked $files "//applet:" | str join "\n")
      open --raw $"($code)/include/applets.src.h" | str replace --regex '(?m)^INSERT$' $applets | save include/applets.h
      let usage = (marked $files "//usage:" | each {|l| if $l =~ '^[ \t]' { $"($l) \\" } else { $"\n($l) \\" } } | str join "\n")
      open --raw $"($code)/include/usage.src.h" | str replace "\nINSERT\n" $"\n($usage)\n\n" | save include/usage.h
      "enum { COMMON_BUFSIZE = 1024 };\nextern char bb_common_bufsiz1[];\n#define setup_common_bufsiz() ((void)0)\n" | save include/common_bufsiz.h

      let here = $"-I($env.PWD)"
      let flags = [$"($here)/include" $"($here)/applets" $"-I($code)/include" $"-I($code)/libbb"]
      # A program of the build makes the table of applets. It runs without the kernel, so it writes where dup2 would lead.
      "static int to;\n#define dup2(fd, n) (to = (fd))\n#define printf(...) dprintf(to, __VA_ARGS__)\n" | save tables.h
      let tables = (c compile $b [$"($code)/applets/applet_tables.c"] --flags [...$flags -D_WASI_EMULATED_GETPID -include stdio.h -include $"($env.PWD)/tables.h"])
      c link $b $tables /nuka/build/applet_tables --flags [-lwasi-emulated-getpid]
      ^/nuka/build/applet_tables include/applet_tables.h include/NUM_APPLETS.h

      # Another one prints what --help says, which becomes a text of C.
      c link $b (c compile $b [$"($code)/applets/usage.c"] --flags $flags) /nuka/build/usage
      let help = (^/nuka/build/usage | into binary | decode utf-8
        | str replace --all '\' '\\' | str replace --all '"' '\"' | str replace --all "\n" '\n' | str replace --all (char --unicode "0") '\000')
      $"#define UNPACKED_USAGE \"($help)\"\n" | save include/usage_compressed.h

      let sources = (glob $"($code)/**/Kbuild.src" --exclude [applets/**] | path dirname | each {|dir| chosen $dir $on } | flatten)
      let objects = (c compile $b [...$sources $"($code)/applets/applets.c"] --flags [
        -Oz -w -std=gnu99 -funsigned-char -fno-builtin-printf -ffunction-sections -fdata-sections
        -include $"($env.PWD)/include/autoconf.h" -D_GNU_SOURCE -DNDEBUG -D_FILE_OFFSET_BITS=64
        $"-DBB_VER=\"($version)\"" "-DBB_EXTRA_VERSION=\"\"" ...$flags ...(posix flags $b.packages.posix)
      ])
      posix link $b $objects $"($b.out)/bin/busybox"
      for name in (open --raw include/applet_tables.h | parse --regex '(?m)^"(?<name>[^"]+)" "\\0"' | get name) {
        symlink busybox $"($b.out)/bin/($name)"
      }
    }
  }
}
