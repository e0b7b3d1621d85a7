// Package git fetches one commit of a repository over git's smart HTTP protocol, without its history.
//
// It uses protocol version 2, or version 0 if the server answers with it (gitprotocol-http(5), gitprotocol-v2(5)).
// It requests one commit with depth 1, and writes the packfile that the server sends, which package archive unpacks.
// The caller supplies the HTTP client, so the caller's rules for addresses, redirects and credentials apply.
//
// A commit's .gitmodules file, which ParseModules reads, gives the addresses of its submodules.
package git
