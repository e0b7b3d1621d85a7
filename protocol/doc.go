// Package protocol defines the messages between nuka processes: attestations, requests, events, errors.
//
// It has no sockets, no files and no clock.
// An Attestation is one signer's signed claim that a PID has a CID.
// An Op is one call of a light peer to its daemon. Events report its progress; it ends in a result or an Error.
// A Code is one of a short closed list of failure reasons. It crosses the wire
// and maps once to exit codes (package main of cmd/nuka).
//
// README.md beside this file is the wire specification.
package protocol
