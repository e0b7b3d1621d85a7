// Package netd runs a membership in a swarm in a process of its own, a net daemon, for the system daemon, which has the store
// and the node's key.
//
// The net daemon talks to strangers, so the system daemon does not trust it. On a platform that can confine it, the net daemon may use only
// the network and one folder, in which the swarm keeps its announcements. The store hashes the blocks that it sends, the system daemon verifies
// its statements again, and it gets the key's signature under messages of a peer, never under statements or heads of a signer.
// When a net daemon dies, the system daemon starts another, and makes the calls that were running again.
//
// A Daemon is the system daemon's side; Main is the net daemon. Between them is a link: messages over the standard input and
// output of the net daemon, with calls in both directions, many at once.
package netd
