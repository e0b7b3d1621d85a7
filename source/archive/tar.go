package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
)

// unpackTar unpacks a tar that may be compressed.
// Whole reports that in is known to be complete.
func unpackTar(w *treeWriter, in io.Reader, whole bool) error {
	return eachInTar(w, in, whole, w.tarEntry)
}

// eachInTar is unpackTar with another function that writes the entries.
func eachInTar(w *treeWriter, in io.Reader, whole bool, write func(h *tar.Header, content io.Reader) error) error {
	r, packed, closeReader, err := Decompress(in)
	if err != nil {
		return err
	}
	defer closeReader()
	plain := w.bounded(r)
	tr := tar.NewReader(plain)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if err := write(h, tr); err != nil {
			return err
		}
	}
	// Depending on their options, tools stop at the end of the first archive or read a second one.
	if err := zerosToEnd(plain, errors.New("tar: data after the end of the archive")); err != io.EOF {
		return err
	}
	// Compressed streams have an end of their own.
	// In others only the blocks of zeros distinguish the end from a cut between two entries.
	if !packed && !whole && plain.zero < tarBlock {
		return errors.New("tar: it has no end, so it is not all there")
	}
	return nil
}

// tarEntry writes one entry of a tar.
// It drops owners, times, and setuid and setgid bits, which a tree does not have.
func (w *treeWriter) tarEntry(h *tar.Header, content io.Reader) error {
	if err := w.admit(h.Name, h.Size); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		for key := range h.PAXRecords {
			if key == "path" || key == "linkpath" || key == "size" || strings.HasPrefix(key, "GNU.sparse.") {
				return ambiguous(h.Name, fmt.Sprintf("a %s for all entries after it, which tools honour or not", key))
			}
		}
		return nil
	case 'V': // GNU's volume name
		return nil
	case tar.TypeDir, 'D': // 'D' has a directory listing as its content
		return w.dir(h.Name)
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		if strings.HasSuffix(h.Name, "/") { // a folder, from before there was a type for folders
			return w.dir(h.Name)
		}
		return w.file(h.Name, h.Size, h.Mode&0o111 != 0, content)
	case tar.TypeSymlink:
		return w.symlink(h.Name, h.Linkname)
	case tar.TypeLink:
		return w.hardLink(h.Name, h.Linkname)
	case tar.TypeChar:
		return w.leaveOut(h.Name, "a character device")
	case tar.TypeBlock:
		return w.leaveOut(h.Name, "a block device")
	case tar.TypeFifo:
		return w.leaveOut(h.Name, "a named pipe")
	}
	return ambiguous(h.Name, fmt.Sprintf("an entry of the unknown type %q", h.Typeflag))
}
