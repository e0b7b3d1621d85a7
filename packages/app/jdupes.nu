# jdupes, which finds files that are the same.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: jdupes
    version: "1.21.3"
    license: MIT
    homepage: "https://github.com/jbruchon/jdupes"
    src: (fetch debsrc jdupes 1.21.3-1+deb12u1 --hash b3-y4oufcgzwk2kr6wvsgjjbuq4d5fnnvqdzdeovbj5hcokq7bnj7la)
    copy: {bin: [jdupes]}
  }
}
