// Package source fetches the bytes of fixed outputs and unpacks them.
//
// An Origin names a place to fetch from: a URL, a git revision, or a package of a language's or system's registry.
// Origins are not part of a PIR, so a mirror changes no PID. A pir.Hash fixes the output;
// it is checked while the bytes stream in, before they are unpacked.
//
// The user's own client configuration (Client) names the registries: npm, pip, cargo, go, Maven and apt.
// This package contains no registry's name.
//
// Package archive unpacks the downloads.
package source
