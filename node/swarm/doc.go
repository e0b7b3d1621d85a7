// Package swarm is the peer: it finds and publishes attestations, and exchanges blocks.
//
// A Swarm is one membership of the node in one network: the public swarm, or a mesh.
// A peer is another node of that network; its libp2p peer id is the ed25519 key that it signs with, so a signer can be
// looked for as a peer.
// A System is what the membership is a member for: it holds the store, decides what may be given to whom, and hashes what
// it is handed. The swarm itself keeps nothing but the addresses of peers that were of use and what it announces.
// An Asker is a peer that asks us for something.
// A Receiver takes in one tree, whose blocks come in any order from several peers.
// A holder is a peer that has the content of a tree, or a part of it.
// To announce is to say in the DHT that this node has statements about a PID, or the content of a root: public ones only.
//
// README.md beside this file has the algorithm, what it promises, and what it costs.
package swarm
