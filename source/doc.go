// Package source gets the bytes of fixed outputs from outside and unpacks them.
//
// An Origin says where bytes can be had: a URL, a git revision, or a package of a language's or system's registry.
// Origins are not part of a PIR, so a mirror changes no PID; what fixes the output is a pir.Hash,
// which is checked while the bytes stream in, before anything is unpacked.
//
// Registries are found through the user's own client configuration (Client): npm, pip, cargo, go and apt.
// This package knows no registry by name.
//
// What is downloaded is unpacked by package archive.
package source
