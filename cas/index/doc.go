// Package index is the records of a store: a database, and the journal beside it.
//
// The index is a pebble database. Its tables say where each block is, and hold the PIR of each PID, attestations by PID and
// signer, bindings of PIDs to CIDs and back, and roots.
// The journal is a second, plain copy of the records that do not follow from the blobs, from which a damaged index is rebuilt.
// A Changes is a set of changes that are committed together, to both.
package index
