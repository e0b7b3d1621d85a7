package archive

import (
	"bytes"
	"debug/elf"
	"io"

	"github.com/MordragT/nuka/protocol"
)

// IsAppImage reports whether a file is an AppImage of type 1 or 2: an executable with a mark in its head, and the image of a file system behind it.
func IsAppImage(file io.ReaderAt) bool { return appImageType(file) != 0 }

// appImageType returns the type of an AppImage, or 0.
func appImageType(file io.ReaderAt) byte {
	var head [11]byte
	if _, err := file.ReadAt(head[:], 0); err != nil || !bytes.HasPrefix(head[:], []byte(elf.ELFMAG)) || string(head[8:10]) != "AI" || head[10] > 2 {
		return 0
	}
	return head[10]
}

// unpackAppImage unpacks the file system of an AppImage: a squashfs behind the executable.
// Source: the AppImage specification, "type 2 image format".
func unpackAppImage(w *treeWriter, file io.ReaderAt, size int64) error {
	if appImageType(file) == 1 {
		return protocol.Errorf(protocol.Invalid, "AppImage: it is of type 1, which nuka does not unpack").
			WithHint("the publisher's newer releases are of type 2")
	}
	at, err := elfEnd(file, size)
	if err != nil {
		return err
	}
	return unpackSquashfs(w, io.NewSectionReader(file, at, size-at), size-at)
}

// elfEnd returns where an executable ends, and other data may begin.
func elfEnd(file io.ReaderAt, size int64) (int64, error) {
	broken := protocol.Errorf(protocol.Invalid, "AppImage: no squashfs lies behind its executable").WithHint("the file is broken or hostile; do not use it")
	f, err := elf.NewFile(io.NewSectionReader(file, 0, size))
	if err != nil {
		return 0, broken
	}
	end := uint64(0)
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NOBITS && s.FileSize < uint64(size) && s.Offset < uint64(size) {
			end = max(end, s.Offset+s.FileSize)
		}
	}
	for _, p := range f.Progs {
		if p.Filesz < uint64(size) && p.Off < uint64(size) {
			end = max(end, p.Off+p.Filesz)
		}
	}
	end = max(end, sectionTableEnd(file, f))
	// Tools align the image, at most to a page.
	var magic [4]byte
	for at := int64(end); at < min(int64(end)+4096, size-4); at++ {
		if _, err := file.ReadAt(magic[:], at); err == nil && string(magic[:]) == squashMagic {
			return at, nil
		}
	}
	return 0, broken
}

// sectionTableEnd returns where the table of sections ends, which is the last part of most executables.
func sectionTableEnd(file io.ReaderAt, f *elf.File) uint64 {
	var head [64]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return 0
	}
	if f.Class == elf.ELFCLASS64 {
		return f.ByteOrder.Uint64(head[40:]) + uint64(f.ByteOrder.Uint16(head[58:]))*uint64(f.ByteOrder.Uint16(head[60:]))
	}
	return uint64(f.ByteOrder.Uint32(head[32:])) + uint64(f.ByteOrder.Uint16(head[46:]))*uint64(f.ByteOrder.Uint16(head[48:]))
}
