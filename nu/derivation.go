package nu

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// policyFields are the fields of a derivation that go into the PIR's policy.
var policyFields = []string{"license", "memory_safe", "cves", "os", "homepage", "description", "role", "parts"}

var derivationFields = append([]string{
	"name", "version", "src", "packages", "build", "env", "merge", "layout", "run", "commands", "platform", "runtime", "recording", "pins", "data",
}, policyFields...)

// derivation returns the PIR for the argument of `derivation`.
func (s *session) derivation(spec nuon.Record) (described, error) {
	for _, field := range slices.Sorted(maps.Keys(spec)) {
		if !slices.Contains(derivationFields, field) {
			return nil, &refusal{Msg: fmt.Sprintf("derivation has no field `%s`", field), Field: field, Help: "its fields are " + strings.Join(derivationFields, ", ")}
		}
	}
	p := &pir.PIR{Kind: kindOf(spec)}
	if p.Kind == "" {
		return nil, refuse("add `build`, `data`, or `packages` to merge", "this derivation makes nothing")
	}
	steps := []func(*pir.PIR, nuon.Record) error{names, s.runtime, s.recorded, inputs, closures, environment, merging, layout, running, facts}
	for _, step := range steps {
		if err := step(p, spec); err != nil {
			return nil, asRefusal(err)
		}
	}
	pid, err := s.add(p, nil)
	if err != nil {
		return nil, asRefusal(err)
	}
	return described{"pid": pid.String(), "name": p.Name, "version": p.Version}, nil
}

func kindOf(spec nuon.Record) pir.Kind {
	_, build := spec["build"]
	_, data := spec["data"]
	packages, _ := spec["packages"].(nuon.Record)
	switch {
	case build && spec["runtime"] != nil:
		return pir.Native
	case build:
		return pir.Build
	case data:
		return pir.Data
	case len(packages) > 0:
		return pir.Env
	}
	return ""
}

// asRefusal adds the field that an error is about, so that the message can point at its value.
func asRefusal(err error) error {
	var field *pir.FieldError
	if err == nil || !errors.As(err, &field) {
		return err
	}
	r := &refusal{Msg: fmt.Sprintf("%s: %v", field.Field, field.Err), Field: field.Field}
	if field.Field == "version" {
		r.Help = `versions are strings: quote them, such as "1.3.1"`
	}
	return r
}

func wrong(field, help, format string, args ...any) error {
	return &refusal{Msg: fmt.Sprintf("%s: %s", field, fmt.Sprintf(format, args...)), Field: field, Help: help}
}

// typeName returns Nushell's name for the type of a canonical value.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case bool:
		return "bool"
	case int64:
		return "int"
	case string:
		return "string"
	case nuon.Binary:
		return "binary"
	case nuon.Duration:
		return "duration"
	case nuon.Filesize:
		return "filesize"
	case nuon.List:
		return "list"
	}
	return "record"
}

func names(p *pir.PIR, spec nuon.Record) error {
	var ok bool
	if p.Name, ok = spec["name"].(string); !ok {
		if spec["name"] == nil {
			return refuse("write name: …", "this derivation has no name")
		}
		return wrong("name", "quote it", "is a %s", typeName(spec["name"]))
	}
	switch v := spec["version"].(type) {
	case nil:
	case string:
		p.Version = v
	case int64:
		p.Version = strconv.FormatInt(v, 10)
	default:
		return wrong("version", `quote it, such as "1.3.1"`, "is a %s", typeName(v))
	}
	if p.Kind == pir.Data {
		for _, field := range []string{"src", "packages", "build", "env", "merge", "layout", "run", "commands", "platform", "runtime", "recording", "pins"} {
			if _, there := spec[field]; there {
				return wrong(field, "a value needs no inputs", "does not go with `data`")
			}
		}
		p.Data = spec["data"]
		p.Version = ""
	}
	switch v := spec["platform"].(type) {
	case nil:
	case string:
		var err error
		if p.Platform, err = pir.ParsePlatform(v); err != nil {
			hint := "what is built is WebAssembly: leave it out"
			if p.Kind == pir.Native {
				hint = "write os, cpu and libc, such as linux-x86_64_v3-gnu"
			}
			return wrong("platform", hint, "%v", err)
		}
	default:
		return wrong("platform", "write any, or os-cpu", "is a %s", typeName(v))
	}
	return nil
}

func inputs(p *pir.PIR, spec nuon.Record) error {
	refs := func(field string, v any) (map[string]pir.PID, error) {
		rec, _ := v.(nuon.Record)
		out := map[string]pir.PID{}
		for name, v := range rec {
			text, _ := v.(string)
			id, err := pir.ParsePID(text)
			if err != nil {
				return nil, wrong(field+"."+name, "", "%v", err)
			}
			out[name] = id
		}
		return out, nil
	}
	var err error
	if p.Packages, err = refs("packages", spec["packages"]); err != nil {
		return err
	}
	switch v := spec["src"].(type) {
	case nil:
	case string:
		if p.Src.One, err = pir.ParsePID(v); err != nil {
			return wrong("src", "", "%v", err)
		}
	case nuon.Record:
		if p.Src.Named, err = refs("src", v); err != nil {
			return err
		}
	default:
		return wrong("src", "fetch it: src: (fetch url …)", "is a %s", typeName(v))
	}
	if p.Kind == pir.Env && !p.Src.IsZero() {
		return wrong("src", "add what to do with it: build: {|b| … }", "is given, but no `build`")
	}
	return nil
}

func closures(p *pir.PIR, spec nuon.Record) error {
	if !p.Kind.Builds() {
		return nil
	}
	rec, ok := spec["build"].(nuon.Record)
	if !ok {
		return wrong("build", "write a closure: build: {|b| … }", "is a %s", typeName(spec["build"]))
	}
	p.Build = rec
	return nil
}

func environment(p *pir.PIR, spec nuon.Record) error {
	v, there := spec["env"]
	if !there {
		return nil
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return wrong("env", "write a record: env: {CC: clang}", "is a %s", typeName(v))
	}
	p.Env = map[string]string{}
	for name, v := range rec {
		switch v := v.(type) {
		case string:
			p.Env[name] = v
		case int64:
			p.Env[name] = strconv.FormatInt(v, 10)
		case bool:
			p.Env[name] = strconv.FormatBool(v)
		default:
			return wrong("env."+name, "make it a string", "is a %s", typeName(v))
		}
	}
	return nil
}

// merging reads how the files of packages enter an environment.
func merging(p *pir.PIR, spec nuon.Record) error {
	v, there := spec["merge"]
	if !there {
		return nil
	}
	rec, ok := v.(nuon.Record)
	if !ok {
		return wrong("merge", "write a record: merge: {lua: {priority: 1}}", "is a %s", typeName(v))
	}
	if p.Kind != pir.Env {
		return wrong("merge", "an environment has `packages` and no `build`", "goes only with an environment")
	}
	for name, v := range rec {
		choices, ok := v.(nuon.Record)
		if !ok {
			return wrong("merge."+name, "write a record: {priority: 1, leave: [bin/x], rename: {bin/a: bin/b}}", "is a %s", typeName(v))
		}
		m, err := pir.ParseMerge(choices)
		if err != nil {
			return wrong("merge."+name, "", "%v", err)
		}
		slices.Sort(m.Leave)
		m.Leave = slices.Compact(m.Leave)
		if p.Merge == nil {
			p.Merge = map[string]pir.Merge{}
		}
		p.Merge[name] = m
	}
	return nil
}

// layout reads the rule by which an environment arranges the files of its packages.
func layout(p *pir.PIR, spec nuon.Record) error {
	v, there := spec["layout"]
	if !there {
		return nil
	}
	name, ok := v.(string)
	if !ok {
		return wrong("layout", "write layout: "+string(pir.LayoutFHS1), "is a %s", typeName(v))
	}
	if p.Kind != pir.Env {
		return wrong("layout", "an environment has `packages` and no `build`", "goes only with an environment")
	}
	p.Layout = pir.Layout(name)
	return nil
}

func running(p *pir.PIR, spec nuon.Record) error {
	run := nuon.Record{}
	switch v := spec["run"].(type) {
	case nil:
	case nuon.Record:
		maps.Copy(run, v)
	default:
		return wrong("run", "write a record", "is a %s", typeName(v))
	}
	switch v := spec["commands"].(type) {
	case nil:
	case nuon.List:
		run["commands"] = v
	case string:
		run["commands"] = nuon.List{v}
	default:
		return wrong("commands", "write a list of the names of its programs", "is a %s", typeName(v))
	}
	if len(run) > 0 {
		p.Run = run
	}
	return nil
}

func facts(p *pir.PIR, spec nuon.Record) error {
	if err := contained(spec); err != nil {
		return err
	}
	policy := nuon.Record{}
	for _, field := range policyFields {
		if v, there := spec[field]; there {
			policy[field] = v
		}
	}
	if p.Kind.Builds() && len(policy) > 0 {
		p.Policy = policy
	}
	return nil
}

// contained checks what a package says of the code in it: its role, and the parts that were copied into its sources.
func contained(spec nuon.Record) error {
	if v, there := spec["role"]; there && v != "tool" && v != "contained" {
		return wrong("role", "write tool if nothing of the package gets into what it helps to build, else leave it out", "want tool or contained")
	}
	v, there := spec["parts"]
	if !there {
		return nil
	}
	const help = `write parts: [{ecosystem: Debian, name: zlib, version: "1:1.3.1-1"}], with the names of OSV`
	list, ok := v.(nuon.List)
	if !ok {
		return wrong("parts", help, "is a %s", typeName(v))
	}
	for _, one := range list {
		rec, ok := one.(nuon.Record)
		if !ok {
			return wrong("parts", help, "has a %s", typeName(one))
		}
		for _, field := range []string{"ecosystem", "name", "version"} {
			if s, ok := rec[field].(string); !ok || s == "" {
				return wrong("parts", help, "a part has no text for %s", field)
			}
		}
		if len(rec) != 3 {
			return wrong("parts", help, "a part has other fields than ecosystem, name and version")
		}
	}
	return nil
}
