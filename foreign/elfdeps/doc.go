// Package elfdeps reads what ELF programs and libraries need, and finds it as the dynamic loader of glibc does (ld.so(8)), without running them.
//
// A Binary is what one file says of itself. A Scan follows the needs of programs through a root, which is a view of the files that the programs
// will see, and reports libraries that are missing and symbol versions that the libraries there do not have.
package elfdeps
