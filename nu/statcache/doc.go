// Package statcache computes the CID of a folder and reads only the files that have changed.
//
// After it has read a folder, it keeps a record: the result of stat for each file, link and folder, and the CID of each file. The
// next time it compares stat with the record, as git does with its index. An entry is unchanged if device, inode, size, mode,
// mtime and ctime are equal.
//
// An entry that changed less than two seconds before it was read is racy: a second change within the same tick of the
// file system's clock would not show. A racy entry is read again. If a file system's clock is behind this machine's by more than
// that, as may happen over a network, its entries are not protected from such a change.
package statcache
