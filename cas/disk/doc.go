// Package disk is the folder of a store: its files, their names, and what makes them durable.
//
// A blob is one file, its bytes as they are and never changed. Its name is the CID that the file has when it is not
// executable: the CID of its only leaf, or of its root node. Files of the same bytes share one blob.
// The quarantine is the folder for files that do not have the bytes that their names promise.
// The ballast is a file that is deleted when the store must be opened on a full disk.
//
// The package knows nothing of the index: a blob is part of the store only once the index names it.
package disk
