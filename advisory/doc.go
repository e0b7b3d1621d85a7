// Package advisory compares what packages are made of with what is known of vulnerabilities.
//
// A Part is something that somebody else published, by the names of OSV. A Use is a part in a package that the user has, with the path to it. Match compares uses with the trees of feeds
// and gives a Report: findings, what was cleared and by whom, what could not be evaluated, and what no feed covers. Only a part that a feed covers, whose version can be read and that no
// record affects is clean; nothing else is ever called so.
package advisory
