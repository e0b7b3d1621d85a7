// Package statcache computes the CID of a folder without reading the files that have not changed.
//
// After it has read a folder it keeps a record: what stat says of each file, link and folder, and the CID of each file. The
// next time it compares stat with the record, as git does with its index. An entry is unchanged if device, inode, size, mode,
// mtime and ctime are equal.
//
// An entry that changed less than two seconds before it was read is racy: a second change within the same tick of the
// file system's clock would not show. A racy entry is read again. Entries of a file system whose clock is behind this machine's by more than
// that, as over a network, are not protected from such a change.
package statcache
