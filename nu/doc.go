// Package nu evaluates package files and runs build scripts in the embedded Nushell.
//
// A package file is a Nushell module with `export def main`. Evaluating it gives the PIRs (package pir) of a package and of all its inputs.
// The language is the real Nushell, compiled to WebAssembly from the crate in nu/engine, whose compressed
// artefact is embedded here. An evaluation sees the files of its mounts and nothing else: no environment, clock, random
// numbers or network. Its time and memory are bounded, and every evaluation has a fresh instance.
//
// Evaluation freezes a build closure to data, {nu, captures, defs}: its text, the values it captures and the
// commands it calls. RunBuild turns the data back into a closure and runs it with the programs of its inputs.
package nu
