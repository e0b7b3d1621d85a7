// Package testnet has whole networks of nodes, as real processes with real sockets.
//
// A net is a switch, and each node on it is a network namespace with one interface, a home and, when it runs, a nukad.
// Nothing of it touches the machine's own network. It needs Linux, root and the program ip of iproute2;
// where they are missing tests are skipped with a message that says so.
package testnet
