// Package nu evaluates package files and runs build scripts in the embedded Nushell.
//
// A package file is a Nushell module with `export def main`; evaluating it describes a package and all it needs as PIRs
// (package pir). The language is the real Nushell, compiled to WebAssembly from the crate in nu/engine, whose compressed
// artefact is embedded here. Evaluation sees the files of its mounts and nothing else: no environment, clock, random
// numbers or network. It is bounded in time and memory, and every evaluation has a fresh instance.
//
// A build closure is frozen to data when it is evaluated: {nu, captures, defs}, its text, the values it captures and the
// commands it calls. RunBuild turns it back into a closure and runs it beside the programs of its inputs.
package nu
