# xxHash, a fast hash.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: xxhash
    version: "0.8.1"
    license: "BSD-2-Clause"
    homepage: "https://xxhash.com/"
    src: (fetch debsrc xxhash 0.8.1-1 --hash b3-xcdxhx3tkjpp6cjgzdod5gqn7nanb6kwnrbcotoybs5kcssg2vea)
    make: [libxxhash.a xxhsum]
    copy: {bin: [xxhsum], lib: [libxxhash.a], include: [xxhash.h xxh3.h]}
  }
}
