// Package pir says what one repeatable build is, and names it.
//
// A PIR (package intermediate representation) is the complete description of one repeatable computation,
// in canonical NUON (package nuon); its hash is the PID, which is the package's path in the store before it exists.
// In the words of Go's build cache: a PID is "the hash of a complete description of a repeatable computation",
// and a CID (package cid) names its output.
//
// A resolved PIR is a PIR whose inputs' PIDs are replaced by the CIDs they were realized to.
// Two PIRs that resolve to the same text describe the same computation on the same bytes,
// so the output of one serves the other: early cutoff.
package pir
