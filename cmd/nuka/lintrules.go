package main

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

// A use is one `use` of a package file.
type use struct {
	module string   // the stem of the file that it names
	names  []string // the words by which the file can call it; empty for `use x.nu *`
	line   int
	col    int
}

var usePattern = lazyregexp.New(`^\s*(?:export\s+)?use\s+["']?([^\s"'#]+)["']?\s*([^#]*)`)

// usesOf returns the modules that a package file uses.
func usesOf(text string) []use {
	var out []use
	for i, line := range strings.Split(text, "\n") {
		m := usePattern().FindStringSubmatchIndex(line)
		if m == nil {
			continue
		}
		file, rest := line[m[2]:m[3]], strings.TrimSpace(line[m[4]:m[5]])
		u := use{module: strings.TrimSuffix(path.Base(file), ".nu"), line: i + 1, col: utf8.RuneCountInString(line[:m[2]]) + 1}
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "export"): // for others
		case rest == "":
			u.names = []string{u.module}
		case rest != "*":
			u.names = strings.FieldsFunc(rest, func(r rune) bool { return strings.ContainsRune("[] ,\"'", r) })
		}
		out = append(out, u)
	}
	return out
}

// code returns a line without its comment.
func code(line string) string {
	if t := strings.TrimSpace(line); strings.HasPrefix(t, "#") {
		return ""
	}
	before, _, _ := strings.Cut(line, " # ")
	return before
}

// word matches a whole word of a package file.
func word(name string) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^A-Za-z0-9_-])` + regexp.QuoteMeta(name) + `($|[^A-Za-z0-9_-])`)
}

// linePatterns are rules about one line of code. The first group is what is marked.
var linePatterns = []struct {
	rule, severity string
	pattern        func() *regexp.Regexp
	msg, hint      string
}{
	{"network", lintError, lazyregexp.New(`(\^(?:curl|wget|git|npm|yarn|pnpm|pip3?|cargo|go +(?:get|install|mod)|ssh|scp|rsync))\b`),
		"%s: a build has no network", "fetch it as a source: src: (fetch …)"},
	{"date", lintWarning, lazyregexp.New(`(\^(?:date|hostname|uname|whoami|uuidgen|nproc|id))\b`),
		"%s: its answer differs between machines or builds", "write the value into the package file, or leave it out"},
	{"date", lintWarning, lazyregexp.New(`\b(__DATE__|__TIME__|__TIMESTAMP__)\b`), "%s: the result holds the time of the build", "leave it out, or define it as a fixed text"},
	{"moving", lintWarning, lazyregexp.New(`fetch git .*--rev[= ]["']?((?:main|master|trunk|develop|HEAD)\b)`),
		"%s is a branch: once it moves, nobody can fetch this source again", "name a tag or the id of the commit"},
}

// text checks what the text alone shows.
func (l *linter) text(f *linted, text string) {
	lines := strings.Split(text, "\n")
	at := func(line, col, length int) nu.Diag {
		return nu.Diag{File: f.shown, Line: line, Col: col, Len: length, Source: strings.TrimRight(lines[line-1], "\r")}
	}
	for _, u := range usesOf(text) {
		for _, name := range u.names {
			pattern, used := word(name), false
			for i, line := range lines {
				used = used || i+1 != u.line && pattern.MatchString(code(line))
			}
			if !used {
				d := at(u.line, u.col, utf8.RuneCountInString(u.module))
				d.Msg, d.Hint = fmt.Sprintf("`%s` is not used", name), "remove the line"
				l.add("unused", lintWarning, d)
			}
		}
	}
	recorded := strings.Contains(text, "fetch recording ")
	for i, line := range lines {
		line = code(line)
		for _, p := range linePatterns {
			if p.rule == "network" && recorded {
				continue // a recording answers it
			}
			if m := p.pattern().FindStringSubmatchIndex(line); m != nil {
				what := line[m[2]:m[3]]
				d := at(i+1, utf8.RuneCountInString(line[:m[2]])+1, utf8.RuneCountInString(what))
				d.Msg, d.Hint = fmt.Sprintf(p.msg, what), p.hint
				l.add(p.rule, p.severity, d)
			}
		}
	}
}

// result checks what an evaluation gave.
func (l *linter) result(f *linted, text string, r *nu.Result) error {
	i := slices.IndexFunc(r.Packages, func(p nu.Package) bool { return p.PID == r.Root })
	top := r.Packages[i]
	p, err := pir.Decode(top.Canonical)
	if err != nil {
		return protocol.Errorf(protocol.Internal, "lint: %w", err)
	}
	at := top.At
	if at.File == "" || path.Base(at.File) != path.Base(f.name) { // another file's function describes it
		at = nu.Position{File: f.shown, Line: 1, Col: 1}
	}
	at.File = f.shown
	stem := strings.TrimSuffix(path.Base(f.name), ".nu")
	library := path.Base(path.Dir(f.name)) == "lib" && p.Name == "lib"+stem // lib/bzip2.nu is libbzip2, beside app/bzip2.nu
	if p.Name != "" && p.Name != stem && !library && stem+".nu" != profile.FolderFile {
		l.add("name", lintWarning, field(text, at, "name").Diag(fmt.Sprintf("the package is named %s, and its file %s", p.Name, path.Base(f.name)),
			"users find it by the name of the file: give both one name"))
	}
	if p.Kind.Builds() {
		if license, _ := p.Policy["license"].(string); license == "" {
			l.add("license", lintWarning, at.Diag("the package has no license", "add its SPDX identifier, such as license: MIT"))
		}
		l.inputs(text, at, p, r)
	}
	described, _ := p.Policy["description"].(string)
	if described == "" {
		doc, _, _ := nu.Params(f.tree, f.name)
		described = summary(f.tree, f.name, doc)
	}
	if described == "" {
		l.add("description", lintWarning, at.Diag("the package has no description", "write a comment of one line above export def main, or the field description"))
	}
	return nil
}

// field returns the place of a field of the derivation at a place, or that place if the text does not show it.
func field(text string, at nu.Position, name string) nu.Position {
	lines := strings.Split(text, "\n")
	pattern := regexp.MustCompile(`(?:^|[\s{,])(` + name + `)\s*:`)
	for i := max(0, at.Line-1); i < min(len(lines), at.Line+20); i++ {
		if m := pattern.FindStringSubmatchIndex(code(lines[i])); m != nil {
			return nu.Position{File: at.File, Line: i + 1, Col: utf8.RuneCountInString(lines[i][:m[2]]) + 1, Len: len(name), Source: lines[i]}
		}
	}
	return at
}

// inputs finds the inputs of a build that its closure does not mention: neither by name, nor by a command, nor all of them together.
func (l *linter) inputs(text string, at nu.Position, p *pir.PIR, r *nu.Result) {
	closure := strings.Join(texts(p.Build), "\n")
	whole := regexp.MustCompile(`\.packages($|[^.A-Za-z0-9_?-])`).MatchString(closure)
	external := regexp.MustCompile(`\^\$|\^\(|run-external|\^[A-Za-z]`).MatchString(closure)
	for _, name := range slices.Sorted(maps.Keys(p.Packages)) {
		id := p.Packages[name]
		used := whole || word(name).MatchString(closure) || strings.Contains(closure, id.String())
		i := slices.IndexFunc(r.Packages, func(o nu.Package) bool { return o.PID == id })
		if i >= 0 && !used {
			input, err := pir.Decode(r.Packages[i].Canonical)
			if err != nil {
				continue
			}
			commands := input.Commands()
			used = len(commands) == 0 && external // its programs are not known before it is built
			for _, c := range commands {
				used = used || word(c).MatchString(closure)
			}
		}
		if !used {
			l.add("unused", lintWarning, field(text, at, "packages").Diag(fmt.Sprintf("the build does not use the input %s", name), "remove it from packages"))
		}
	}
}

// texts returns all texts in a value.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case nuon.List:
		for _, e := range v {
			out = append(out, texts(e)...)
		}
	case nuon.Record:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = append(out, texts(v[key])...)
		}
	}
	return out
}
