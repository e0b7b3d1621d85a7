package pir

import (
	"fmt"
	"slices"
	"strings"
)

// A Platform describes what an output needs from the machine it runs on, not where it was built.
// Platforms are comparable. The zero Platform is Any, which runs everywhere (WebAssembly and data).
type Platform struct {
	OS   string // "linux", "darwin", "windows", "freebsd"
	CPU  CPU    // the lowest sufficient CPU
	Libc string // "gnu" or "musl" on Linux, "" elsewhere and for static programs
}

// Any is the platform of outputs that run everywhere.
var Any = Platform{}

// A CPU names an instruction set or a level of one, as archspec does
// (https://github.com/archspec/archspec-json): x86_64, x86_64_v3, aarch64, armv8.2a.
type CPU string

// parents maps each CPU to the one whose programs it also runs.
// The order is archspec's compatible-with relation, restricted to the levels without a vendor's name.
var parents = map[CPU]CPU{
	"x86_64":    "",
	"x86_64_v2": "x86_64",
	"x86_64_v3": "x86_64_v2",
	"x86_64_v4": "x86_64_v3",
	"aarch64":   "",
	"armv8.1a":  "aarch64",
	"armv8.2a":  "armv8.1a",
	"armv8.3a":  "armv8.2a",
	"armv8.4a":  "armv8.3a",
	"armv8.5a":  "armv8.4a",
	"armv9.0a":  "armv8.5a",
	"riscv64":   "",
	"ppc64le":   "",
	"power8le":  "ppc64le",
	"power9le":  "power8le",
	"power10le": "power9le",
	"s390x":     "",
}

var (
	systems = []string{"darwin", "freebsd", "linux", "windows"}
	libcs   = []string{"gnu", "musl"}
)

// ParsePlatform reads "any" or os-cpu[-libc]: linux-x86_64_v3-gnu, darwin-aarch64.
func ParsePlatform(s string) (Platform, error) {
	if s == "any" {
		return Any, nil
	}
	fields := strings.Split(s, "-")
	if len(fields) != 2 && len(fields) != 3 {
		return Platform{}, fmt.Errorf("parse platform %.60q: want any or os-cpu[-libc], such as linux-x86_64_v3-gnu", s)
	}
	p := Platform{OS: fields[0], CPU: CPU(fields[1])}
	if !slices.Contains(systems, p.OS) {
		return Platform{}, fmt.Errorf("parse platform %.60q: operating system %q is not one of %s", s, p.OS, strings.Join(systems, ", "))
	}
	if _, ok := parents[p.CPU]; !ok {
		return Platform{}, fmt.Errorf("parse platform %.60q: cpu %q is unknown", s, p.CPU)
	}
	if len(fields) == 3 {
		p.Libc = fields[2]
		if p.OS != "linux" || !slices.Contains(libcs, p.Libc) {
			return Platform{}, fmt.Errorf("parse platform %.60q: libc %q: want gnu or musl, on linux only", s, p.Libc)
		}
	}
	return p, nil
}

// String returns the canonical text of p.
func (p Platform) String() string {
	if p == Any {
		return "any"
	}
	s := p.OS + "-" + string(p.CPU)
	if p.Libc != "" {
		s += "-" + p.Libc
	}
	return s
}

// RunsOn reports whether an output for platform p runs on machine m.
func (p Platform) RunsOn(m Platform) bool {
	return p == Any || p.OS == m.OS && (p.Libc == "" || p.Libc == m.Libc) && m.CPU.Runs(p.CPU)
}

// Runs reports whether cpu executes programs compiled for level.
func (cpu CPU) Runs(level CPU) bool { return slices.Contains(cpu.Levels(), level) }

// Levels returns the levels that cpu executes, best first: x86_64_v3, x86_64_v2, x86_64.
// Optimised outputs are looked up in this order.
func (cpu CPU) Levels() []CPU {
	var levels []CPU
	for cpu != "" {
		levels = append(levels, cpu)
		cpu = parents[cpu]
	}
	return levels
}
