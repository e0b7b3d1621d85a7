// Package apt reads Debian's signed index, chooses packages from it, and writes the lock file of the choice.
//
// A suite is one release channel of an archive, such as stable-security. Its InRelease is a clear-signed list of files with their hashes; a Release
// is its signed text. A keyring holds the keys whose signatures count. The packages files of all suites are an Index. Solve chooses from an Index what some
// roots need; a Solution is the choice. A Lock is a choice in a file: each Pin names one package by version, hash and path in the archive. A Sonames table
// maps the names of shared libraries to the packages that have them.
//
// Nothing here reads the user's configuration or opens sockets: package source finds the archives and implements Getter.
package apt
