// Package swarm is this node among other nodes: it finds and publishes statements, and exchanges trees.
//
// A Swarm is one membership of the node in one network: the public swarm, or a mesh.
// A System is what the membership is a member for: it holds the store, decides what each peer may have, and takes in trees.
// The swarm itself keeps nothing but the saved peers and what it announces.
//
// The package joins its parts, which do not know it and reach each other by routing.Router only:
// peers finds nodes and keeps connections, fetch brings trees, serve answers, claims asks for statements, heads and PIRs.
//
// README.md beside this file says how it works and what it promises.
package swarm
