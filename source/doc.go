// Package source gets the bytes of fixed outputs from outside and unpacks them.
//
// An Origin says where bytes can be had: a URL, a git revision, or a package of a language's or system's registry.
// Origins are not part of a PIR, so a mirror changes no PID; what fixes the output is a pir.Hash,
// which is checked while the bytes stream in, before anything is unpacked.
//
// Registries are found through the user's own client configuration (Client): npm, pip, cargo, go and apt.
// This package knows no registry by name.
//
// Archives come from strangers. Unpack refuses every entry that a tool elsewhere has been tricked by
// (absolute and escaping names, links out of the tree, writing through links, devices, setuid files, duplicates,
// names that collide or deceive, headers that disagree, bombs) and names the entry.
package source
