// Package wasmrt runs WebAssembly programs that reach only what the host gives them.
//
// A Runtime compiles modules and caches their machine code. A Program is one run of a Module with arguments,
// variables, standard streams and an FS. The FS is the file system that the program sees: mounts of Trees (read-only, their
// bytes are in the content store) and Dirs (directories of the host that programs may write to). A Host finds programs by
// name in such a file system and runs them, also on behalf of running programs. A Reactor is a module that answers calls.
// A program that is made for it runs in a kernel, with processes, pipes and signals.
//
// A program reaches only the files, clock, random numbers and programs that it was given, and no network.
// In particular, no link leads out of its mounts.
//
// A worker is a process with a second wall around its programs. README.md describes what a worker may do, and which process
// executes machine code from which cache.
package wasmrt
