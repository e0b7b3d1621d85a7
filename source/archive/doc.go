// Package archive unpacks untrusted tar, zip, Debian packages and git packs.
//
// It accepts archives from which tar, unzip and dpkg make one and the same tree, and keeps the parts that a tree has:
// names, contents, links as text, and whether a file is executable.
// It refuses each entry that leaves the folder or that two tools would write differently, and names it in the error.
// It also refuses contradictory headers, and bounds bytes, entries, names and memory.
package archive
