// Package netd runs a membership of a swarm in a process of its own, a net daemon, for the system daemon that has the store
// and the node's key.
//
// The net daemon speaks with strangers and is not trusted: it may use the network and the one folder where the swarm keeps what
// it has announced, and nothing else where the system can see to that. Blocks that it hands over are hashed by the store,
// statements are verified again, and of the key it gets signatures under what a peer signs, never under what a signer says.
// When it dies another is started, and calls that were under way are made again.
//
// A Daemon is the system daemon's side; Main is the net daemon. Between them is a link: messages over the standard input and
// output of the net daemon, calls in both directions, many at once.
package netd
