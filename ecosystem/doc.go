// Package ecosystem records what a language's package manager asks of its registries, and answers the same questions again without them.
//
// An unmodified client (pip, uv, npm, cargo, go, mvn) speaks its own protocol to a proxy on loopback. A Recorder passes requests on, keeps the answers and
// compares each file with the hash that its registry promised. A Replayer answers from a Recording. An Adapter is what nuka knows of one protocol: how the
// client is pointed at the proxy, which answers are indexes, what an index promises about files, and how it is cut to what was asked for.
//
// Two doors lead to a proxy. With DoorRegistry the client's setting of a registry names the proxy, and addresses in indexes are rewritten to it. With DoorProxy the
// client's HTTPS_PROXY names it, and a throw-away authority signs for each host: for clients that keep whole addresses in their lock files.
package ecosystem
