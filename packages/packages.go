// Package packages holds the package set that comes with nuka: package files in Nushell, by what they are for, and the lock files that some of them use.
// Nothing in it is Go but this: the set is embedded, so that the command has it wherever it is.
package packages

import "embed"

// FS is the package set. all: also takes the headers whose names begin with _.
//
//go:embed */*.nu all:*/*/*
var FS embed.FS

// Index is what nuka search knows about the set, a NUON record in each line (set.DecodeEntries). TestEmbeddedIndex of cmd/nuka writes it.
//
//go:embed index.nuon
var Index []byte
