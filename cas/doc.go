// Package cas is the content store of one machine.
//
// A blob is one file on disk, its bytes as they are and never changed.
// Its name is the CID that the file has if it is not executable: of its only leaf, or of its root node.
// A CID names a block (package cid): a leaf is a range of a blob, a node is a record of the index.
// A tree is a directory node and everything below it; files of the same bytes share one blob, executable or not.
// The index is a database of records: the place of each block, the PIR of each PID, attestations by PID and signer,
// PID to CID and back, and roots. A root is a name that keeps a tree from collection;
// a generation is a root whose name is a path, "profile/NAME/NUMBER".
// The journal is a second, plain copy of the records that do not follow from the blobs, from which the index is rebuilt.
// To bind is to record that a PID was realized to a CID, with the attestation that says so.
//
// When a mutating call returns, its effect is durable unless documented otherwise.
// A call interrupted by a crash took effect completely or not at all.
// Bytes are compared with their hash before they are returned, except by AppendBlock. README.md describes the layout on disk and the locks.
package cas
