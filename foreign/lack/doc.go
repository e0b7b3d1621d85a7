// Package lack reads in the output of a failed build what the build lacks: programs, headers, libraries, and modules of pkg-config and CMake.
//
// A Lack is one of them, with the files that a package of the distribution must have to bring it. A Reader collects them line by line. The output comes from
// foreign programs: a name is taken only if it is a plain file name, and the number of lacks is bounded.
package lack
