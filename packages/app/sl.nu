# sl, a steam locomotive for those who mistype ls.
use ../lib/makefile.nu
use ../lib/ncurses.nu

export def main [] {
  makefile package {
    name: sl
    version: "5.02"
    license: "LicenseRef-sl"
    homepage: "https://github.com/mtoyoda/sl"
    src: (fetch debsrc sl 5.02-1 --hash b3-mbnvphqye3mfecvtl5fi7dafa3nuzv36j7er2mmbycrxsu7eazoa)
    packages: [(ncurses)]
    copy: {bin: [sl]}
  }
}
