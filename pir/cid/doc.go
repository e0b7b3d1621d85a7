// Package cid computes the content ids of files and trees, as IPFS does.
//
// A CID is the content id of a block: CIDv1 with a BLAKE3-256 multihash and one of two codecs.
// A block with codec raw is a piece of a file; a block with codec dag-pb is a node that links to other blocks.
// A leaf is a raw block of up to 1 MiB. A file of one leaf that is not executable is that leaf.
// Any other file is a node over its leaves, 1024 links wide; the root of an executable has mode 0555.
// A directory is a node with one link for each name, in the order of the names' bytes.
// If its encoding is larger than 1 MiB, it is a HAMT instead: nodes of up to 256 links, each called a shard.
// A symbolic link is a node that holds its target.
//
// These are the UnixFS encodings of boxo's importer, byte for byte, so any IPFS client can fetch them;
// only the settings above are fixed. The package reads no clock and keeps no mtime, owner or other mode.
// The decoders read untrusted bytes: they accept one encoding of each node and refuse everything else.
package cid
