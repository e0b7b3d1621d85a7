# hashcash, stamps for mail that cost time to make.
use ../lib/makefile.nu

export def main [] {
  makefile package {
    name: hashcash
    version: "1.22"
    license: "LicenseRef-public-domain"
    homepage: "http://www.hashcash.org/"
    src: (fetch debsrc hashcash 1.22-1 --hash b3-3kt62ec3xt7bgay4fs5xhu3cqkyijx5d5d7lryi2dlb7fsjqduca)
    make: [generic]
    copy: {bin: [hashcash sha1]}
  }
}
