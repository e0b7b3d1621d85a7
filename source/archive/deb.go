package archive

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// controlDir is the folder of the control archive's files in a tree, as `dpkg-deb --raw-extract` names it (dpkg-deb(1)).
const controlDir = "DEBIAN"

// Bounds on a control archive (deb-control(5)). The largest of Debian have some megabytes, the checksums of a kernel's headers.
const (
	maxControlBytes = 64 << 20
	maxControlFiles = 1000
)

// unpackDeb unpacks the data of a Debian binary package, and with control its control archive. It requires the order of members that dpkg
// requires (deb(5)).
func unpackDeb(w *treeWriter, file io.ReaderAt, size int64, control bool) error {
	a, err := newArReader(file, size)
	if err != nil {
		return fmt.Errorf("debian package: %w", err)
	}
	want, members := "debian-binary", 0
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		m, err := a.next()
		if err == io.EOF {
			return fmt.Errorf("debian package: it has no member %s", want)
		}
		if err != nil {
			return fmt.Errorf("debian package: %w", err)
		}
		if members++; members > maxDebMembers {
			return errors.New("debian package: it has too many members")
		}
		switch {
		case want == "debian-binary":
			version, _ := bufio.NewReader(io.LimitReader(m, 16)).ReadString('\n')
			if m.name != want || !strings.HasPrefix(version, "2.") {
				return fmt.Errorf("debian package: it begins with %.16q %.16q, want debian-binary with 2.0", m.name, version)
			}
			want = "control.tar"
		case strings.HasPrefix(m.name, "_"): // dpkg ignores them
		case isMember(m.name, "control.tar") && want == "control.tar":
			if want = "data.tar"; !control {
				continue
			}
			if err := eachInTar(w, m.SectionReader, true, w.controlEntry()); err != nil {
				return fmt.Errorf("control archive: %w", err)
			}
			if w.kinds[controlDir+"/control"] == 0 {
				return errors.New("control archive: it has no file control")
			}
		case isMember(m.name, "data.tar") && want == "data.tar":
			if !control {
				return unpackTar(w, m.SectionReader, true)
			}
			return eachInTar(w, m.SectionReader, true, w.dataEntry)
		default:
			return fmt.Errorf("debian package: the member %.16q where dpkg wants %s", m.name, want)
		}
	}
}

// maxDebMembers bounds the members before the data; dpkg itself makes two.
const maxDebMembers = 100

// isMember reports whether name is that of the given tar, compressed or not.
func isMember(name, tar string) bool {
	rest, ok := strings.CutPrefix(name, tar)
	return ok && (rest == "" || rest[0] == '.')
}

// controlEntry returns a function that writes an entry of a control archive into controlDir. It accepts plain files without folders, which is
// all that packages have there: a reader of the tree then finds each file under its own name, and no link that leads it elsewhere.
func (w *treeWriter) controlEntry() func(h *tar.Header, content io.Reader) error {
	left, files := int64(maxControlBytes), 0
	return func(h *tar.Header, content io.Reader) error {
		name, err := splitName(h.Name)
		if err != nil {
			return err
		}
		if len(name.parts) == 0 && h.Typeflag == tar.TypeDir {
			return w.admit(h.Name, 0)
		}
		if len(name.parts) != 1 || h.Typeflag != tar.TypeReg || strings.HasSuffix(h.Name, "/") {
			return refuse(h.Name, "a control archive has plain files only, and no folders")
		}
		if left -= h.Size; left < 0 {
			return refuse(h.Name, fmt.Sprintf("a control archive of more than %d bytes", maxControlBytes))
		}
		if files++; files > maxControlFiles {
			return refuse(h.Name, fmt.Sprintf("a control archive of more than %d files", maxControlFiles))
		}
		if err := w.admit(h.Name, h.Size); err != nil {
			return err
		}
		return w.file(controlDir+"/"+name.String(), h.Size, h.Mode&0o111 != 0, content)
	}
}

// dataEntry writes an entry of the data, unless it would be among the files of the control archive.
func (w *treeWriter) dataEntry(h *tar.Header, content io.Reader) error {
	name, err := splitName(h.Name)
	if err != nil {
		return err
	}
	if len(name.parts) > 0 && name.parts[0] == controlDir {
		return refuse(h.Name, "the data of a package may not have the folder of its control archive")
	}
	if target, err := splitName(h.Linkname); h.Typeflag == tar.TypeLink && err == nil && len(target.parts) > 0 && target.parts[0] == controlDir {
		return refuse(h.Name, "a hard link to a file of the control archive")
	}
	return w.tarEntry(h, content)
}
