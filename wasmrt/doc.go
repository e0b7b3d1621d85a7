// Package wasmrt runs WebAssembly programs with only what they are given.
//
// A Runtime compiles modules and keeps their machine code. A Program is one run of a Module with arguments,
// variables, standard streams and an FS, the file system it sees: mounts of Trees (read-only, the bytes lie in the
// content store) and Dirs (folders of the host that programs may write to). A Host finds programs by name in such
// a file system and runs them, also on behalf of running programs. A Reactor is a module that answers calls.
//
// A program reaches no file, clock, random number, network or other program of the host but what it was given.
// In particular no link, however made, leads out of its mounts.
//
// A worker is a process with a second wall around its programs. README.md says what it may do, and which process executes
// machine code of which cache.
package wasmrt
