// Package protocol is what nuka processes say to each other: attestations, requests, events, errors.
//
// It is pure: no sockets, no files, no clock.
// An Attestation is one signer's signed claim that a PID has a CID.
// A Request is one call of a light peer to its system daemon; Events tell how it goes; it ends in a result or an Error.
// A Code is one of a short closed list of reasons, which crosses the wire
// and maps once to exit codes (package main of cmd/nuka).
//
// README.md beside this file is the wire specification.
package protocol
