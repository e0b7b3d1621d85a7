package safety

import (
	"bytes"
	"compress/zlib"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/internal/bounded"
	"github.com/MordragT/nuka/pir/nuon"
)

// A Claim is what a package states about its programs.
type Claim struct {
	Language string // go or rust
	Linking  string // static, or libc: the C library of the system and nothing else
	Build    string // for people: how it was built, such as CGO_ENABLED=0
}

// Values of the fields of a Claim.
const (
	Go     = "go"
	Rust   = "rust"
	Static = "static"
	Libc   = "libc"
)

// ErrNoClaim says that a package states nothing about the memory safety of its programs.
var ErrNoClaim = errors.New("its package does not state that it is memory-safe")

// ParseClaim reads the field memory_safe of a package's policy: {language: go, linking: static, build: "CGO_ENABLED=0"}. Without the field, or with false, the error
// is ErrNoClaim.
func ParseClaim(v any) (Claim, error) {
	if v == nil || v == false {
		return Claim{}, ErrNoClaim
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return Claim{}, fmt.Errorf("memory_safe: want a record {language, linking, build}, got %T", v)
	}
	var c Claim
	for _, field := range []struct {
		name string
		to   *string
	}{{"language", &c.Language}, {"linking", &c.Linking}, {"build", &c.Build}} {
		if *field.to, ok = rec[field.name].(string); !ok || *field.to == "" {
			return Claim{}, fmt.Errorf("memory_safe: %s is missing", field.name)
		}
	}
	if len(rec) != 3 {
		return Claim{}, fmt.Errorf("memory_safe: want language, linking and build, got %s", strings.Join(slices.Sorted(maps.Keys(rec)), ", "))
	}
	if c.Language != Go && c.Language != Rust {
		return Claim{}, fmt.Errorf("memory_safe: language: %.40q is not %s or %s", c.Language, Go, Rust)
	}
	if c.Linking != Static && c.Linking != Libc {
		return Claim{}, fmt.Errorf("memory_safe: linking: %.40q is not %s or %s", c.Linking, Static, Libc)
	}
	return c, nil
}

// system are the libraries that a program linked with libc may need: those of the C library, and the compiler's own.
var system = []string{
	"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1", "libresolv.so.2", "libgcc_s.so.1",
	"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1",
}

// Check compares a program's file of size bytes with a claim, and returns what contradicts it.
func (c Claim) Check(file io.ReaderAt, size int64) error {
	b, err := elfdeps.Read(file, size)
	if err != nil {
		return err
	}
	switch c.Linking {
	case Static:
		if b.Interpreter != "" || len(b.Needed) > 0 {
			return fmt.Errorf("it is stated to be static, and it needs %s", strings.Join(append(b.Needed, b.Interpreter), " "))
		}
	case Libc:
		for _, name := range b.Needed {
			if !slices.Contains(system, name) {
				return fmt.Errorf("it needs %s, which is no part of the C library", name)
			}
		}
	}
	if c.Language == Go {
		return checkGo(file, size)
	}
	return checkRust(file)
}

// checkGo reads the build information that the go command writes into its programs.
func checkGo(file io.ReaderAt, size int64) error {
	info, err := buildinfo.Read(io.NewSectionReader(file, 0, size))
	if err != nil {
		return fmt.Errorf("it is stated to be of Go, and it has no build information of Go: %w", err)
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" {
			if s.Value != "0" {
				return errors.New("it was built with cgo, so C may be in it")
			}
			return nil
		}
	}
	return errors.New("its build information does not tell whether cgo was on")
}

const maxAudit = 8 << 20 // bytes of cargo auditable's data, unpacked

// checkRust reads the list of crates that cargo auditable writes into its programs, where it is there (section .dep-v0: JSON, compressed with zlib).
func checkRust(file io.ReaderAt) error {
	f, err := elf.NewFile(file)
	if err != nil {
		return err
	}
	section := f.Section(".dep-v0")
	if section == nil {
		return nil
	}
	if section.Size > maxAudit {
		return errors.New("its list of crates is too large")
	}
	packed, err := section.Data()
	if err != nil {
		return fmt.Errorf("its list of crates: %w", err)
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("its list of crates: %w", err)
	}
	text, err := io.ReadAll(&bounded.Reader{R: z, Left: maxAudit, Over: errors.New("too large")})
	if err != nil {
		return fmt.Errorf("its list of crates: %w", err)
	}
	var audit struct {
		Packages []struct{ Name, Version, Kind string }
	}
	if err := json.Unmarshal(text, &audit); err != nil {
		return fmt.Errorf("its list of crates: %w", err)
	}
	for _, p := range audit.Packages {
		if bindsC(p.Name) || p.Kind == "build" && slices.Contains(compilers, p.Name) {
			return fmt.Errorf("the crate %s %s brings code of C", p.Name, p.Version)
		}
	}
	return nil
}

// compilers are crates that compile C when a crate is built.
var compilers = []string{"cc", "cmake", "autotools", "nasm-rs"}

// bindsC reports whether a crate binds a library of C, by the convention of its name. Those that only describe the system do not.
func bindsC(name string) bool {
	return strings.HasSuffix(name, "-sys") && !slices.Contains([]string{"windows-sys", "linux-raw-sys", "js-sys", "web-sys", "core-foundation-sys", "mach-sys", "wasip1-sys"}, name)
}
