package elfdeps

import (
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// ErrNotELF is the error about a file that does not begin as an ELF file.
var ErrNotELF = errors.New("not an ELF file")

// A Binary is what an ELF file says about the files that it needs. It comes from the program headers, which the loader reads too, and not from
// the section headers, which may be missing or may differ.
type Binary struct {
	Machine elf.Machine
	// Interpreter is the loader that the kernel starts for a program, such as /lib64/ld-linux-x86-64.so.2; empty for libraries and static programs.
	Interpreter string
	// Dynamic reports whether the file has a dynamic section. Without one it needs no library.
	Dynamic bool
	Soname  string
	Needed  []string // DT_NEEDED, in order
	Rpath   []string // DT_RPATH, only without a RUNPATH
	Runpath []string // DT_RUNPATH
	// Requires maps a needed library to the symbol versions that it must have, such as libc.so.6 to GLIBC_2.38. Weak ones are left out.
	Requires map[string][]string
	// Defines holds the symbol versions that the file itself has.
	Defines []string
	// Optional holds the libraries that the program may open while it runs, from its dlopen notes
	// (ELF_DLOPEN_METADATA of the UAPI group).
	Optional []Optional
}

// An Optional is a library that a program opens while it runs.
type Optional struct {
	Sonames  []string `json:"soname"` // the first of them that exists is taken
	Feature  string   `json:"feature"`
	About    string   `json:"description"`
	Priority string   `json:"priority"` // required, recommended, suggested
}

// Bounds on what a file may say. Real files are far below them: the largest need some 300 libraries.
const (
	maxHeaders = 1024
	maxDynamic = 1 << 16
	maxStrings = 64 << 20
	maxString  = 4096
	maxNames   = 4096
	maxNotes   = 1 << 20
)

// reader reads parts of a file, at offsets or at the addresses that the loader maps them to.
type reader struct {
	at    io.ReaderAt
	size  int64
	loads []elf.Prog64
}

// bytes returns n bytes at an offset.
func (r *reader) bytes(off, n uint64) ([]byte, error) {
	if off > uint64(r.size) || n > uint64(r.size)-off {
		return nil, fmt.Errorf("bytes %d to %d of %d: %w", off, off+n, r.size, io.ErrUnexpectedEOF)
	}
	b := make([]byte, n)
	if _, err := r.at.ReadAt(b, int64(off)); err != nil && (!errors.Is(err, io.EOF) || n > 0) {
		return nil, err
	}
	return b, nil
}

// offset returns the offset in the file of an address, and how many bytes of its segment follow.
func (r *reader) offset(addr uint64) (off, rest uint64, ok bool) {
	for _, p := range r.loads {
		if addr >= p.Vaddr && addr-p.Vaddr < p.Filesz && p.Off <= uint64(r.size) {
			return p.Off + (addr - p.Vaddr), p.Filesz - (addr - p.Vaddr), true
		}
	}
	return 0, 0, false
}

// mapped returns n bytes at an address.
func (r *reader) mapped(addr, n uint64) ([]byte, error) {
	off, rest, ok := r.offset(addr)
	if !ok || n > rest {
		return nil, fmt.Errorf("address %#x: %d bytes are in no loaded segment", addr, n)
	}
	return r.bytes(off, n)
}

// Read reads the headers and the dynamic section of a file of size bytes. It returns ErrNotELF if the file begins otherwise. Only 64-bit little-endian files are read:
// an error names another kind.
func Read(at io.ReaderAt, size int64) (*Binary, error) {
	r := &reader{at: at, size: size}
	ident, err := r.bytes(0, 64)
	if err != nil {
		if size >= 0 && size < 64 && !startsAsELF(at) {
			return nil, ErrNotELF
		}
		return nil, fmt.Errorf("ELF header: %w", err)
	}
	if string(ident[:4]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	if elf.Class(ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%v %v: only 64-bit little-endian programs are read", elf.Class(ident[elf.EI_CLASS]), elf.Data(ident[elf.EI_DATA]))
	}
	le := binary.LittleEndian
	b := &Binary{Machine: elf.Machine(le.Uint16(ident[18:]))}
	if kind := elf.Type(le.Uint16(ident[16:])); kind != elf.ET_EXEC && kind != elf.ET_DYN {
		return nil, fmt.Errorf("%v: neither a program nor a library", kind)
	}
	phoff, phsize, phnum := le.Uint64(ident[32:]), uint64(le.Uint16(ident[54:])), uint64(le.Uint16(ident[56:]))
	if phsize != 56 || phnum == 0 || phnum > maxHeaders {
		return nil, fmt.Errorf("ELF header: %d program headers of %d bytes", phnum, phsize)
	}
	headers, err := r.bytes(phoff, phsize*phnum)
	if err != nil {
		return nil, fmt.Errorf("program headers: %w", err)
	}
	var rest []elf.Prog64
	for i := range phnum {
		h := headers[i*phsize:]
		p := elf.Prog64{
			Type: le.Uint32(h), Flags: le.Uint32(h[4:]), Off: le.Uint64(h[8:]), Vaddr: le.Uint64(h[16:]),
			Filesz: le.Uint64(h[32:]), Memsz: le.Uint64(h[40:]),
		}
		if elf.ProgType(p.Type) == elf.PT_LOAD {
			r.loads = append(r.loads, p)
		} else {
			rest = append(rest, p)
		}
	}
	for _, p := range rest {
		if err := r.segment(b, p); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func startsAsELF(at io.ReaderAt) bool {
	var b [4]byte
	n, _ := at.ReadAt(b[:], 0)
	return n == 4 && string(b[:]) == elf.ELFMAG
}

// segment adds to b what a program header that is not loaded says.
func (r *reader) segment(b *Binary, p elf.Prog64) error {
	switch elf.ProgType(p.Type) {
	case elf.PT_INTERP:
		if p.Filesz > maxString {
			return fmt.Errorf("the interpreter's name has %d bytes", p.Filesz)
		}
		name, err := r.bytes(p.Off, p.Filesz)
		if err != nil {
			return fmt.Errorf("interpreter: %w", err)
		}
		b.Interpreter, _, _ = strings.Cut(string(name), "\x00")
	case elf.PT_DYNAMIC:
		if err := r.dynamic(b, p); err != nil {
			return fmt.Errorf("dynamic section: %w", err)
		}
	case elf.PT_NOTE:
		if p.Filesz > maxNotes {
			return nil
		}
		if notes, err := r.bytes(p.Off, p.Filesz); err == nil {
			b.Optional = append(b.Optional, dlopenNotes(notes)...)
		}
	}
	return nil
}

// dynamic reads the dynamic section, up to DT_NULL as the loader does.
func (r *reader) dynamic(b *Binary, p elf.Prog64) error {
	b.Dynamic = true
	n := min(p.Filesz/16, maxDynamic)
	raw, err := r.bytes(p.Off, n*16)
	if err != nil {
		return err
	}
	values := map[elf.DynTag]uint64{}
	var needed []uint64
	for i := range n {
		tag := elf.DynTag(binary.LittleEndian.Uint64(raw[i*16:]))
		val := binary.LittleEndian.Uint64(raw[i*16+8:])
		if tag == elf.DT_NULL {
			break
		}
		if tag == elf.DT_NEEDED {
			needed = append(needed, val)
		}
		values[tag] = val
	}
	if len(needed) > maxNames {
		return fmt.Errorf("%d needed libraries", len(needed))
	}
	size := values[elf.DT_STRSZ]
	if size > maxStrings {
		return fmt.Errorf("a string table of %d bytes", size)
	}
	var table []byte
	if size > 0 {
		if table, err = r.mapped(values[elf.DT_STRTAB], size); err != nil {
			return fmt.Errorf("string table: %w", err)
		}
	}
	text := func(off uint64) (string, error) { return stringAt(table, off) }
	for _, off := range needed {
		name, err := text(off)
		if err != nil {
			return fmt.Errorf("needed library: %w", err)
		}
		b.Needed = append(b.Needed, name)
	}
	for tag, add := range map[elf.DynTag]func(string){
		elf.DT_SONAME:  func(s string) { b.Soname = s },
		elf.DT_RPATH:   func(s string) { b.Rpath = strings.Split(s, ":") },
		elf.DT_RUNPATH: func(s string) { b.Runpath = strings.Split(s, ":") },
	} {
		if off, ok := values[tag]; ok {
			s, err := text(off)
			if err != nil {
				return fmt.Errorf("%v: %w", tag, err)
			}
			add(s)
		}
	}
	if b.Runpath != nil {
		b.Rpath = nil // ld.so(8): DT_RPATH is used only if DT_RUNPATH does not exist
	}
	return r.versions(b, values, text)
}

// stringAt returns the string that begins at an offset of a string table.
func stringAt(table []byte, off uint64) (string, error) {
	if off >= uint64(len(table)) {
		return "", fmt.Errorf("offset %d is outside the string table of %d bytes", off, len(table))
	}
	s, _, ended := strings.Cut(string(table[off:min(off+maxString, uint64(len(table)))]), "\x00")
	if !ended {
		return "", fmt.Errorf("the string at offset %d has no end", off)
	}
	return s, nil
}

// versions reads the symbol versions that a file needs and has (.gnu.version_r, .gnu.version_d; LSB Core, Symbol Versioning).
func (r *reader) versions(b *Binary, values map[elf.DynTag]uint64, text func(uint64) (string, error)) error {
	le := binary.LittleEndian
	count := func(tag elf.DynTag) uint64 { return min(values[tag], maxNames) }
	at := values[elf.DT_VERNEED]
	for range count(elf.DT_VERNEEDNUM) {
		need, err := r.mapped(at, 16)
		if err != nil {
			return fmt.Errorf("needed versions: %w", err)
		}
		library, err := text(uint64(le.Uint32(need[4:])))
		if err != nil {
			return fmt.Errorf("needed versions: %w", err)
		}
		aux := at + uint64(le.Uint32(need[8:]))
		for range min(le.Uint16(need[2:]), maxNames) {
			one, err := r.mapped(aux, 16)
			if err != nil {
				return fmt.Errorf("needed versions of %q: %w", library, err)
			}
			name, err := text(uint64(le.Uint32(one[8:])))
			if err != nil {
				return fmt.Errorf("needed versions of %q: %w", library, err)
			}
			const weak = 2 // VER_FLG_WEAK
			if le.Uint16(one[4:])&weak == 0 {
				if b.Requires == nil {
					b.Requires = map[string][]string{}
				}
				b.Requires[library] = append(b.Requires[library], name)
			}
			next := le.Uint32(one[12:])
			if next == 0 {
				break
			}
			aux += uint64(next)
		}
		next := le.Uint32(need[12:])
		if next == 0 {
			break
		}
		at += uint64(next)
	}
	for library := range maps.Keys(b.Requires) {
		slices.Sort(b.Requires[library])
	}
	at = values[elf.DT_VERDEF]
	for range count(elf.DT_VERDEFNUM) {
		def, err := r.mapped(at, 20)
		if err != nil {
			return fmt.Errorf("defined versions: %w", err)
		}
		aux, err := r.mapped(at+uint64(le.Uint32(def[12:])), 8)
		if err != nil {
			return fmt.Errorf("defined versions: %w", err)
		}
		name, err := text(uint64(le.Uint32(aux)))
		if err != nil {
			return fmt.Errorf("defined versions: %w", err)
		}
		b.Defines = append(b.Defines, name)
		next := le.Uint32(def[16:])
		if next == 0 {
			break
		}
		at += uint64(next)
	}
	return nil
}

// dlopenNotes returns the libraries of the dlopen notes in a note segment. It passes over what it cannot read: the notes are advice.
func dlopenNotes(b []byte) (out []Optional) {
	const kind, owner = 0x407c0c0a, "FDO\x00"
	le := binary.LittleEndian
	for len(b) >= 12 {
		name, desc := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
		nameEnd := 12 + (name+3)&^3
		end := nameEnd + (desc+3)&^3
		if end > uint64(len(b)) || nameEnd+desc > uint64(len(b)) {
			return out
		}
		if le.Uint32(b[8:]) == kind && string(b[12:12+name]) == owner {
			text, _, _ := strings.Cut(string(b[nameEnd:nameEnd+desc]), "\x00")
			var all []Optional
			if json.Unmarshal([]byte(text), &all) == nil {
				out = append(out, all...)
			}
		}
		b = b[end:]
	}
	return out
}
