package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
)

const (
	maxGuessed   = 20_000  // files of a source that new looks at
	maxGuessFile = 1 << 20 // bytes of a file that new reads
)

// file drafts the package of a source that is one file.
func (d *draft) file(name string) {
	if program, ok := strings.CutSuffix(name, ".wasm"); ok {
		d.build = []string{`mkdir $"($b.out)/bin"`, fmt.Sprintf("cp $b.src $\"($b.out)/bin/%s\"", plainName(program, d.name)), fmt.Sprintf("chmod +x $\"($b.out)/bin/%s\"", plainName(program, d.name))}
		d.notes = append(d.notes, "the source is a program of WebAssembly, which the package installs")
		return
	}
	d.build = []string{`mkdir $"($b.out)/share"`, fmt.Sprintf("cp $b.src $\"($b.out)/share/%s\"", plainName(name, d.name))}
	d.comments = append(d.comments, "The source is one file, which the package holds as it is.")
}

// plainName returns a name if Nushell can have it in a string without escapes, else the other one.
func plainName(name, other string) string {
	if packageName().MatchString(strings.ToLower(name)) {
		return name
	}
	return other
}

// learn drafts the package of a source with many files: facts from the files that hold them, and a build. from is the name of the source.
func (d *draft) learn(tree fs.FS, from string) {
	d.facts(tree)
	if d.version == "" {
		if m := regexp.MustCompile(`[-_]v?([0-9][0-9A-Za-z.]*?)(?:\.(?:tar|tgz|zip|txz|tbz2).*)?$`).FindStringSubmatch(from); m != nil {
			d.version = m[1]
		}
	}
	if !regexp.MustCompile(`^[A-Za-z0-9.:_+~-]{0,100}$`).MatchString(d.version) {
		d.version = ""
	}
	d.guess(tree)
}

func readPart(tree fs.FS, name string) string {
	f, err := tree.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	b, err := io.ReadAll(io.LimitReader(f, maxGuessFile))
	if err != nil {
		return ""
	}
	return string(b)
}

// facts reads version, license and description where the kinds of sources have them.
func (d *draft) facts(tree fs.FS) {
	set := func(version, license, description string) {
		for _, f := range []struct {
			to   *string
			text string
		}{{&d.version, version}, {&d.license, license}, {&d.description, description}} {
			if text := strings.TrimSpace(f.text); *f.to == "" && text != "" && len(text) < 300 {
				*f.to = text
			}
		}
	}
	var npm struct {
		Version, License, Description any
	}
	if json.Unmarshal([]byte(readPart(tree, "package.json")), &npm) == nil {
		text := func(v any) string { s, _ := v.(string); return s }
		set(text(npm.Version), text(npm.License), text(npm.Description))
	}
	for _, file := range []struct{ name, section string }{{"Cargo.toml", "[package]"}, {"pyproject.toml", "[project]"}} {
		f := assignments(readPart(tree, file.name), file.section)
		set(f["version"], f["license"], f["description"])
	}
	f := headers(readPart(tree, "PKG-INFO"))
	license := f["license-expression"]
	if license == "" && len(f["license"]) < 40 {
		license = f["license"]
	}
	set(f["version"], license, f["summary"])
	set("", debianLicense(readPart(tree, "debian/copyright")), headers(readPart(tree, "debian/control"))["description"])
	for _, name := range []string{"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "COPYING.txt"} {
		set("", licenseOf(readPart(tree, name)), "")
	}
	if d.license == "UNKNOWN" || strings.HasPrefix(d.license, "SEE LICENSE") {
		d.license = ""
	}
}

var assignment = lazyregexp.New(`^([A-Za-z-]+)\s*=\s*"([^"]*)"`)

// assignments reads name = "text" of one section of a TOML file.
func assignments(text, section string) map[string]string {
	out := map[string]string{}
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			in = line == section
		}
		if m := assignment().FindStringSubmatch(line); in && m != nil {
			out[m[1]] = m[2]
		}
	}
	return out
}

// headers reads the first of each Name: text; lines that go on are left out.
func headers(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.ToLower(name); ok && !strings.ContainsAny(name, " \t") && out[name] == "" {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// debianNames maps short names of debian/copyright to SPDX identifiers, where they differ.
var debianNames = map[string]string{
	"gpl-2": "GPL-2.0-only", "gpl-2+": "GPL-2.0-or-later", "gpl-3": "GPL-3.0-only", "gpl-3+": "GPL-3.0-or-later", "lgpl-2.1": "LGPL-2.1-only",
	"lgpl-2.1+": "LGPL-2.1-or-later", "lgpl-3+": "LGPL-3.0-or-later", "expat": "MIT", "bsd-3-clause": "BSD-3-Clause", "bsd-2-clause": "BSD-2-Clause",
	"apache-2.0": "Apache-2.0", "isc": "ISC", "zlib": "Zlib", "mpl-2.0": "MPL-2.0", "mit": "MIT",
}

// debianLicense returns the license of the paragraph for all files, if it is one that has an SPDX identifier.
func debianLicense(text string) string {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		f := headers(paragraph)
		if f["files"] == "*" {
			return debianNames[strings.ToLower(f["license"])]
		}
	}
	return ""
}

// licenseOf recognises the text of a license.
func licenseOf(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(parts ...string) bool {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	}
	switch {
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy", "THE SOFTWARE IS PROVIDED \"AS IS\""):
		return "MIT"
	case has("Apache License", "Version 2.0"):
		return "Apache-2.0"
	case has("Mozilla Public License", "2.0"):
		return "MPL-2.0"
	case has("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee"):
		return "ISC"
	case has("This is free and unencumbered software released into the public domain"):
		return "Unlicense"
	case has("Redistribution and use in source and binary forms", "Neither the name"):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	}
	return "" // the text of the GPL does not say whether later versions may be used
}

var mainFunction = lazyregexp.New(`(?m)^\s*(?:int\s+|void\s+)?main\s*\(`)

// guess writes a build: programs of WebAssembly are installed, simple C programs are compiled, everything else is copied.
func (d *draft) guess(tree fs.FS) {
	var wasm, c, mains []string
	headersIn := map[string]bool{}
	var configured string
	n := 0
	_ = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if n++; err != nil || n > maxGuessed {
			return fs.SkipAll
		}
		switch base := e.Name(); {
		case e.IsDir():
		case path.Ext(base) == ".wasm":
			wasm = append(wasm, name)
		case path.Ext(base) == ".c":
			c = append(c, name)
			if mainFunction().MatchString(readPart(tree, name)) {
				mains = append(mains, name)
			}
		case path.Ext(base) == ".h":
			headersIn[path.Dir(name)] = true
		case slices.Contains([]string{"configure", "configure.ac", "CMakeLists.txt", "meson.build"}, name):
			configured = name
		}
		return nil
	})
	slices.Sort(c)
	folder := func(name string) bool { return path.Dir(name) == path.Dir(c[0]) }
	plain := func(name string) bool { return regexp.MustCompile(`^[A-Za-z0-9._/+-]+$`).MatchString(name) }
	switch {
	case len(wasm) > 0 && !slices.ContainsFunc(wasm, func(w string) bool { return !plain(w) }):
		d.build = append(d.build, `mkdir $"($b.out)/bin"`)
		for _, w := range wasm[:min(len(wasm), 20)] {
			to := strings.TrimSuffix(path.Base(w), ".wasm")
			d.build = append(d.build, fmt.Sprintf("cp $\"($b.src)/%s\" $\"($b.out)/bin/%s\"", w, to), fmt.Sprintf("chmod +x $\"($b.out)/bin/%s\"", to))
		}
		d.notes = append(d.notes, "the source has programs of WebAssembly, which the package installs")
	case len(c) > 0 && len(mains) == 1 && configured == "" && !slices.ContainsFunc(c, func(f string) bool { return !folder(f) || !plain(f) }):
		d.compile(path.Dir(c[0]), headersIn)
	default:
		d.copy(configured, len(c))
	}
}

// compile writes the build of a C program whose files are in one folder.
func (d *draft) compile(dir string, headersIn map[string]bool) {
	d.uses, d.packages = []string{"toolchain/clang.nu", "lib/c.nu"}, []string{"(clang)"}
	at := "$b.src"
	if dir != "." {
		at = fmt.Sprintf("$\"($b.src)/%s\"", dir)
	}
	include := []string{"-O2"}
	for _, in := range []string{".", "include"} {
		if in != dir && headersIn[in] {
			include = append(include, fmt.Sprintf("$\"-I($b.src)/%s\"", in))
		}
	}
	d.build = []string{
		"let folder = " + at,
		fmt.Sprintf("let objects = (c compile $b (glob $\"($folder)/*.c\") --flags [%s])", strings.Join(include, " ")),
		fmt.Sprintf("c link $b $objects $\"($b.out)/bin/%s\"", d.name),
	}
	d.comments = append(d.comments, "A guess: all C files of one folder make one program.")
	d.notes = append(d.notes, "the source is C without a configure script: the build compiles all its files to one program")
}

// copy writes a build that copies the source.
func (d *draft) copy(configured string, c int) {
	d.build = []string{`cp -r ...(ls -a $b.src | get name) $b.out`}
	switch {
	case configured != "":
		d.comments = append(d.comments, fmt.Sprintf("The source is built by %s, which nuka does not run: write here what it would do, as packages/app/hello.nu of nuka does.", configured),
			"Until then the package holds the source as it is.")
		d.notes = append(d.notes, fmt.Sprintf("the source is built by %s, which nuka does not run: the file says what to do", configured))
	case c > 0:
		d.comments = append(d.comments, "The source has C files for several programs: compile and link each, see C in docs/packages.md.", "Until then the package holds the source as it is.")
		d.notes = append(d.notes, "the source has C files for several programs: the file says what to do")
	default:
		d.comments = append(d.comments, "The package holds the source as it is.")
	}
}
