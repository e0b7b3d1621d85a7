// Package peers finds the other nodes of one swarm and keeps connections to them. It is the only package of the project that speaks
// libp2p as a peer, and it implements routing.Router.
//
// A Host is this node in one swarm: its sockets, connections, DHT and multicast DNS.
// The bootstrap peers are those that the configuration names; the saved peers are those that were useful before.
// To announce is to keep a provider record in the DHT: only what Options.Shared yields.
// In a mesh a peer is admitted once each side has taken the other's credential. Until then the only protocols that answer it are
// libp2p's identify, ping and relay, and the one that shows credentials.
//
// Bitswap is here as well, server and client, since its library speaks in the types of libp2p.
package peers
