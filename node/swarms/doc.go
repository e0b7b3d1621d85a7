// Package swarms keeps a node in the swarms that it has reason to be in: the public one, and one for each of its meshes.
//
// A Set joins and leaves swarms, and asks all of them for the statements and content that the realizer needs. A Membership is one swarm that
// the node is in, in this process or in one of its own (netd). Package sharing decides which packages and blocks peers in it may see.
package swarms
