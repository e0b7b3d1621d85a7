// Package wire has what both ends of the swarm's protocols need on a stream: a Codec that compresses and decompresses answers, and a
// Paced reader that ends when the peer sends too slowly.
//
// The framing itself, requests and answers, is package protocol's.
package wire

import "time"

const (
	// Slow is how long a peer may take to read the next part of an answer, or to take a request.
	Slow = 30 * time.Second
	// LinesAtOnce is how many bytes of lines are compressed into one answer.
	LinesAtOnce = 64 << 10
)
