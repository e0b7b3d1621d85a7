// Package packages holds the package set that comes with nuka: package files in Nushell, by what they are for.
// Nothing in it is Go but this: the set is embedded, so that the command has it wherever it is.
package packages

import "embed"

// FS is the package set.
//
//go:embed */*.nu
var FS embed.FS
