// Package control carries requests from light peers to their system daemon.
//
// A call is one QUIC stream: a request, perhaps data, events while it runs, and a result or an error.
// Both ends prove an ed25519 identity with libp2p's TLS handshake; the server answers enrolled keys only.
// A unix socket beside it does what QUIC cannot: the kernel reports which user runs the process at the other end.
// Over the socket the daemon enrols a key of its own user, and the light peer learns the daemon's address and identity.
//
// A frame is a type byte, the length of its payload as a big-endian uint32, and the payload.
// README.md of package protocol has the messages.
package control
