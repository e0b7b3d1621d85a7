// Package cas is the content store of one machine.
//
// A blob is one file on disk, its bytes as they are and never changed.
// Its name is the CID that the file has when it is not executable: of its only leaf, or of its root node.
// A block is what a CID names (package cid): a leaf is a range of a blob, a node lives in the index.
// A tree is a directory node and all it links to; files of the same bytes share one blob, executable or not.
// The index is a pebble database: where each block is, the PIR of each PID, attestations by PID and signer,
// PID to CID and back, and roots. A root is a name that keeps a tree from collection;
// a generation is a root whose name is a path, "profile/NAME/NUMBER".
// The journal is a second, plain copy of what the index holds and blobs do not, from which the index is rebuilt.
// To bind is to record that a PID was realized to a CID, with the attestation that says so.
//
// What a call that changes the store has returned is durable, unless its comment says otherwise;
// what it has not returned happened wholly or not at all, whatever crashed.
// Nothing is read without being compared with its hash. See README.md for the layout on disk.
package cas
