package lack

import (
	"regexp"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

// A pattern matches the message of one tool. Its first group is the name; without one, name is.
type pattern struct {
	re    func() *regexp.Regexp
	kind  Kind
	name  string
	guess bool
	last  bool // no other pattern is compared
}

func re(s string) func() *regexp.Regexp { return lazyregexp.New(s) }

var (
	// tried matches what a tool looked for among others, such as each compiler that Meson knows.
	tried = re("Running `[^`]*` gave|^\\s*(checking|-- Looking) for ")
	// cmakeList begins a list of modules, in the lines that follow (CMake, FindPkgConfig).
	cmakeList = re(`[Tt]he following required packages were not found`)
	cmakeItem = re(`^\s*- ([A-Za-z0-9_.+-]+)`)
)

const word = `([A-Za-z0-9_./+-]+)`

// patterns are the messages of tools, as they were seen in failed builds.
var patterns = []pattern{
	// pkg-config itself, before the modules that nobody could look for.
	{re: re(`Pkg-config for machine [a-z ]+ not found|pkg-config command could not be found|Could NOT find PkgConfig|pkg-config (is|was) (not found|required)|pkg-config script could not be found`),
		kind: Program, name: "pkg-config", last: true},

	// Shells, make, Python's subprocess and setuptools, Node's which, Go's os/exec.
	{re: re(`\b(?:sh|bash|dash): (?:line )?(?:\d+: )?` + word + `: (?:command )?not found`), kind: Program},
	{re: re(`\bmake(?:\[\d+\])?: ` + word + `: No such file or directory`), kind: Program},
	{re: re(`command '` + word + `' failed: No such file or directory`), kind: Program},
	{re: re(`unable to execute '` + word + `': No such file`), kind: Program},
	{re: re(`FileNotFoundError: \[Errno 2\] No such file or directory: '([A-Za-z0-9_.+-]+)'`), kind: Program, guess: true},
	{re: re(`\bError: not found: ` + word), kind: Program},
	{re: re(`\bspawn ` + word + ` ENOENT`), kind: Program},
	{re: re(`exec: "` + word + `": executable file not found`), kind: Program},
	{re: re(`\b` + word + ` executable not found`), kind: Program},
	{re: re(`Could not find any Python installation`), kind: Program, name: "python3"},

	// Meson, CMake, autoconf, Rust's cc and cmake crates.
	{re: re(`Unknown compiler\(s\): \[\['(cc|c\+\+|gfortran|rustc)'`), kind: Program},
	{re: re(`Program '?` + word + `'? not found or not executable`), kind: Program},
	{re: re(`No CMAKE_C_COMPILER could be found|CMAKE_C_COMPILER not set`), kind: Program, name: "gcc"},
	{re: re(`No CMAKE_CXX_COMPILER could be found|CMAKE_CXX_COMPILER not set`), kind: Program, name: "g++"},
	{re: re(`unable to find a build program corresponding to "Unix Makefiles"`), kind: Program, name: "make"},
	{re: re(`unable to find a build program corresponding to "Ninja"`), kind: Program, name: "ninja"},
	{re: re(`no acceptable C compiler found`), kind: Program, name: "gcc"},
	{re: re("linker `" + word + "` not found"), kind: Program},
	{re: re(`failed to find tool "` + word + `"`), kind: Program},
	{re: re("[Ii]s `" + word + "` (?:not )?installed"), kind: Program},
	{re: re(`cannot execute '?cc1plus'?`), kind: Program, name: "g++"},

	// pkg-config and those that ask it.
	{re: re(`Package '?([A-Za-z0-9_.+-]+)'?(?:, required by [^,]*,)? (?:was )?not found`), kind: Module},
	{re: re(`No package '([A-Za-z0-9_.+-]+)' found`), kind: Module},
	{re: re(`ERROR: Dependency "?([A-Za-z0-9_.+-]+)"? (?:is required but )?not found`), kind: Module},
	{re: re(`Dependency lookup for ([A-Za-z0-9_.+-]+) with method`), kind: Module},
	{re: re("system library `([A-Za-z0-9_.+-]+)` required by crate"), kind: Module},
	{re: re(`Could NOT find ([A-Za-z0-9_+-]+) \(missing`), kind: CMakeLib},
	{re: re(`Could not find a package configuration file provided by "([A-Za-z0-9_+-]+)"`), kind: CMakeLib},

	// Compilers and linkers.
	{re: re(`fatal error: '?` + word + `'?(?:: No such file or directory| file not found)`), kind: Header},
	{re: re(`Python dependency not found`), kind: Header, name: "Python.h"},
	{re: re(`cannot find (?:Scrt1|crt1|crti)\.o`), kind: Header, name: "stdio.h"},
	{re: re(`Compiler \S+ cannot compile programs|C compiler cannot create executables`), kind: Header, name: "stdio.h", guess: true},
	{re: re(`cannot find -l([A-Za-z0-9_.+-]+)`), kind: Library},
	{re: re(`unable to find library -l([A-Za-z0-9_.+-]+)`), kind: Library},

	{re: re(`common\.gypi not found`), kind: Header, name: "node/node.h"},
	// node-gyp fetches Node's headers if it is not told where they are.
	{re: re(`node-v[0-9.]+-headers\.tar`), kind: Header, name: "node/node.h", guess: true},
}
