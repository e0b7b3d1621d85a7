package foreign

import (
	"io/fs"
	"os"

	"github.com/MordragT/nuka/foreign/elfdeps"
)

// watched shows the files of a layout, and notes which files outside of the runtime were looked at.
type watched struct {
	elfdeps.Tree
	layout *Layout
}

func (w watched) note(name string, listed bool) {
	if at, ok := w.Host(name); ok && !within(w.layout.tree, at) {
		w.layout.Examined[at] = w.layout.Examined[at] || listed
	}
}

// Lstat implements elfdeps.Root.
func (w watched) Lstat(name string) (fs.FileInfo, error) {
	w.note(name, false)
	return w.Tree.Lstat(name)
}

// Readlink implements elfdeps.Root.
func (w watched) Readlink(name string) (string, error) {
	w.note(name, false)
	return w.Tree.Readlink(name)
}

// List implements elfdeps.Root.
func (w watched) List(name string) ([]string, error) {
	w.note(name, true)
	return w.Tree.List(name)
}

// Open implements elfdeps.Root.
func (w watched) Open(name string) (*os.File, error) {
	w.note(name, false)
	return w.Tree.Open(name)
}
