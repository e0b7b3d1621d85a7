// Package foreign prepares runs of foreign programs: programs that expect an ordinary Linux tree and are made for nothing less.
//
// A Box is such a run: the tree of a runtime, a private home, and the permissions of an application. Its Layout is what the program will see, which
// the sandbox mounts and in which elfdeps looks for libraries.
package foreign
