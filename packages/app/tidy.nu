# HTML Tidy, which checks and mends HTML, and its library.
use ../lib/cmake.nu

export def main [] {
  cmake package {
    name: tidy
    version: "5.6.0"
    license: "HTMLTIDY"
    homepage: "https://www.html-tidy.org/"
    src: (fetch debsrc tidy-html5 "2:5.6.0-11" --hash b3-ejvfbhwx72tvfjzozko33og6ypzh4rc7eaafet6gnjza3jih5jcq)
    options: [-DBUILD_SHARED_LIB=OFF "-DCMAKE_C_FLAGS=-O2 -DLINUX_OS"] # it lists the platforms that have utime.h
    finish: {|b| mv $"($b.out)/lib/libtidys.a" $"($b.out)/lib/libtidy.a" } # as its .pc file names it
  }
}
