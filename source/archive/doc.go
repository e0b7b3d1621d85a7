// Package archive unpacks tar, zip, Debian packages and git packs that come from strangers.
//
// It takes what tar, unzip and dpkg would make one tree of, and keeps what a tree has:
// names, contents, links as text, and whether a file is executable.
// It refuses, and names, each entry that leaves the folder or that two tools would write differently,
// and headers that disagree; it has limits on bytes, entries, names and memory.
package archive
