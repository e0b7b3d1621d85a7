// Package set keeps the package sets that a user has added: their order, their trees, and the index of each.
//
// A set is a tree of package files (*.nu). It comes from a folder of the user, or from elsewhere with a head that a signer has signed
// (protocol.SetHead). The folder of sets never runs or evaluates anything: the caller gets a tree, evaluates its packages, and Put switches to it.
//
//	lock              one command at a time changes the sets
//	sets.nuon         the sets in order: names, origins, signers, the number and tree of the last update
//	NAME/CID/         the tree of the last update
//	NAME/CID.index    its index, which search reads
//
// sets.nuon names the tree of each set, and one rename replaces it. So a crash leaves the old or the new tree of a set.
package set
