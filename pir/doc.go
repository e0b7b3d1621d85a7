// Package pir describes repeatable computations and identifies them.
//
// A PIR (package intermediate representation) is the complete description of one repeatable computation
// in canonical NUON (package nuon). Its hash is the PID, which is the package's path in the store before the content exists.
// In the words of Go's build cache: a PID is "the hash of a complete description of a repeatable computation",
// and a CID (package cid) identifies its output.
//
// A resolved PIR is a PIR in which the PID of each input is replaced by the CID of the input's content.
// Two PIRs with the same resolved PIR describe the same computation on the same bytes,
// so the output of one is the output of the other: early cutoff.
package pir
