// Package osv reads records of known vulnerabilities in the format of OSV, and says which versions they affect.
//
// A Record is what somebody published: an identifier, aliases, and for each package the affected versions. An Entry is the part of a record that concerns one package; feeds
// carry entries. A Verdict on a version is Affected, NotAffected or Unknown. What is malformed, or what nuka cannot order, gives Unknown, so that an error in a
// record never makes anything look safe.
package osv
