package profile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// FolderFile is the name of the package file whose environment a shell enters in its folder.
const FolderFile = "nuka.nu"

// FindFolder returns the nearest folder at or above dir that has a nuka.nu, and "" if there is none.
func FindFolder(dir string) string {
	for {
		if info, err := os.Stat(filepath.Join(dir, FolderFile)); err == nil && info.Mode().IsRegular() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// FolderKey returns the hash of a folder's nuka.nu, in hexadecimal.
func FolderKey(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, FolderFile))
	if err != nil {
		return "", err
	}
	sum := blake3.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// A Permission says what a user saw when the user allowed a folder. A hook enters the folder as long as it is the same.
type Permission struct {
	Key   string // FolderKey
	Files string // a hash of all files of the folder that the evaluation read
}

// Permissions are the folders that the hooks of a user may enter, by absolute path. They are kept in one file.
type Permissions struct {
	path string
}

// OpenPermissions returns the permissions in a file, which need not exist.
func OpenPermissions(path string) *Permissions { return &Permissions{path} }

func (p *Permissions) read() (nuon.Record, error) {
	text, err := os.ReadFile(p.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nuon.Record{}, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := nuon.DecodeRecord(text)
	if err == nil && rec["allowed"] != int64(1) {
		err = fmt.Errorf("its form is %v, this program knows 1", rec["allowed"])
	}
	if err != nil {
		return nil, protocol.Errorf(protocol.Damaged, "%s: %w", p.path, err).WithHint("remove it, and allow your folders again: nuka allow")
	}
	folders, _ := rec["folders"].(nuon.Record)
	if folders == nil {
		folders = nuon.Record{}
	}
	return folders, nil
}

// Get returns the permission of a folder, and false if it has none.
func (p *Permissions) Get(dir string) (Permission, bool, error) {
	folders, err := p.read()
	rec, there := folders[dir].(nuon.Record)
	r := reader{}
	out := Permission{Key: r.text(rec, "key"), Files: r.text(rec, "files")}
	return out, err == nil && there && r.err == nil, err
}

// Set sets the permission of a folder; nil removes it. The change is durable.
func (p *Permissions) Set(dir string, permission *Permission) error {
	folders, err := p.read()
	if err != nil {
		return err
	}
	delete(folders, dir)
	if permission != nil {
		folders[dir] = nuon.Record{"key": permission.Key, "files": permission.Files}
	}
	text, err := nuon.Encode(nuon.Record{"allowed": int64(1), "folders": folders})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(p.path, text)
}
