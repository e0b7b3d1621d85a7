// Package git fetches one commit of a repository over git's smart HTTP protocol, without its history.
//
// It speaks the protocol's version 2, and version 0 to servers that answer with it (gitprotocol-http(5), gitprotocol-v2(5)).
// It asks for one commit with depth 1, and writes the packfile that the server sends, which package archive unpacks.
// The HTTP client is the caller's, so its rules on addresses, redirects and credentials hold.
//
// Where the submodules of a commit are is said by its .gitmodules file, which ParseModules reads.
package git
