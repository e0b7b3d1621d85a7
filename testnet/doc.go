// Package testnet runs whole networks of nodes, as real processes with real sockets.
//
// A net is a switch. Each node on it is a network namespace with one interface, a home and, while it runs, a nukad.
// The tests do not touch the machine's own network. They need Linux, root and the program ip of iproute2;
// if these are missing, tests are skipped with a message that says so.
package testnet
