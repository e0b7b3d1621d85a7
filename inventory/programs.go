package inventory

import (
	"compress/zlib"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// maxAudit bounds the list of cargo auditable in a program, unpacked.
const maxAudit = 8 << 20

// program reads which modules a Go program was linked of, and which crates a program that cargo auditable built. Others name nothing.
func (c *content) program(e *Entry) error {
	if c.progs++; c.progs > maxProgs {
		c.over[fmt.Sprintf("it has more than %d large programs, of which the rest was not read", maxProgs)] = true
		return nil
	}
	f, err := e.Open()
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	magic := make([]byte, 4)
	if _, err := f.ReadAt(magic, 0); err != nil || string(magic) != elf.ELFMAG {
		return nil //nolint:nilerr // it is a script, or too short for a program
	}
	in := io.NewSectionReader(f, 0, e.Size)
	if info := goInfo(in); info != nil {
		c.golang(info)
		return nil
	}
	c.crates(in)
	return nil
}

// goInfo returns what go build wrote into a program; nil: nothing, or nothing that can be read. The parsers of the standard library may panic on a wrong file.
func goInfo(in io.ReaderAt) (info *debug.BuildInfo) {
	defer func() {
		if recover() != nil {
			info = nil
		}
	}()
	info, err := buildinfo.Read(in)
	if err != nil {
		return nil
	}
	return info
}

func (c *content) golang(info *debug.BuildInfo) {
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Path == "" || strings.HasPrefix(m.Path, ".") || strings.HasPrefix(m.Path, "/") || m.Version == "(devel)" {
			continue // the project itself, or a folder beside it
		}
		c.found("golang", clean(m.Path), clean(m.Version), "")
	}
	if version, ok := strings.CutPrefix(info.GoVersion, "go"); ok {
		version, _, _ = strings.Cut(version, " ") // experiments follow
		c.found("golang", "stdlib", clean(version), "")
	}
}

// crates reads the section that cargo auditable writes: a list of packages as JSON, compressed with zlib.
func (c *content) crates(in io.ReaderAt) {
	defer func() { _ = recover() }() // of a wrong file
	file, err := elf.NewFile(in)
	if err != nil {
		return
	}
	defer file.Close() //nolint:errcheck // it holds nothing
	section := file.Section(".dep-v0")
	if section == nil {
		return
	}
	z, err := zlib.NewReader(section.Open())
	if err != nil {
		return
	}
	text, err := io.ReadAll(io.LimitReader(z, maxAudit)) // what is cut is no JSON
	if err != nil {
		return
	}
	var list struct {
		Packages []struct{ Name, Version, Source, Kind string }
	}
	if json.Unmarshal(text, &list) != nil {
		return
	}
	for _, p := range list.Packages {
		if p.Source != "local" && p.Kind != "build" {
			c.found("cargo", clean(p.Name), clean(p.Version), "")
		}
	}
}
