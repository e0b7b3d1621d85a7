# Games and diversions of BSD: adventure, arithmetic, backgammon and others that keep no files.
use ../lib/autoconf.nu
use ../lib/ncurses.nu

const games = [adventure arithmetic backgammon banner bcd caesar factor mille morse number pig pom ppt primes rain random trek worm worms]

export def main [] {
  let games = $games
  autoconf package {
    name: bsdgames
    version: "2.17"
    license: "BSD-3-Clause"
    homepage: "https://www.ibiblio.org/pub/Linux/games/"
    src: (fetch debsrc bsdgames 2.17-29 --hash b3-2532hxdvdzrmwks2orlqjwe7io3a3sbvlgc7kqwaom7vfuyikzyq)
    packages: [(ncurses)]
    prepare: {|b| # the answers to what configure asks
      {non_interactive: y, build_dirs: ($games | str join " "), cc: "cc -std=gnu89 -DLINE_MAX=2048", use_libcrypto: n, optimize_flags: "-O2"}
        | items {|k, v| $"bsd_games_cfg_($k)='($v)'\n" } | str join | save config.params
      rm tests/pom.test # it says "was" of 1998, which the clock of a build calls "will be"
    }
    make: [-k]
    check: true
    copy: {bin: ($games | each {|g| $"($g)/($g)" })}
  }
}
