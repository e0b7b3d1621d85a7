// Package inventory lists what a package is made of, and writes the list in the formats that scanners of licences and vulnerabilities read.
//
// A Part is one thing that somebody else published, or a package of nuka: a language package of a recording, a Debian package of a runtime, a source of a C
// program. Collect walks the descriptions of a package and everything that it is made from. It reads the recordings, and it reads the content of the packages
// that a package manager made, as far as that content names what was installed. WriteCycloneDX and WriteSPDX write an Inventory; the same inventory gives the same bytes.
//
// An inventory repeats what registries, recordings and files say of themselves. Only hashes are facts: they were compared when the bytes arrived.
package inventory
