// Package fsmount shows a content store as a read-only file system: <mount>/<PID>/….
//
// A connection is one mounted FUSE file system: its descriptor, and the INIT request with which the kernel opened it. A holder is a small process
// that mounts, keeps the descriptor, and hands it to each daemon that comes; so a connection outlives a daemon. A slot is a PID together with the
// CID that it is shown with; slots have numbers that never change, and a node id is the number of a slot and the place of an entry in its tree. A
// lease is a PID with open files. README.md describes the protocol between the daemon and its holders.
package fsmount
