# wordplay, which finds anagrams.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: wordplay
    version: "8.0"
    license: "LicenseRef-wordplay"
    homepage: "http://hsvmovies.com/static_subpages/personal/wordplay/"
    src: (fetch debsrc wordplay 8.0-1 --hash b3-4yecbg7jv64csyy3rx6myavupelaq4rdauygt3qiuh73u3hrfgnq)
    copy: {bin: [wordplay]}
  }
}
