package main

import (
	"debug/buildinfo"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// The parts of a CycloneDX 1.6 document (ECMA-424) that a list of modules needs.
type (
	bom struct {
		Format     string      `json:"bomFormat"`
		Spec       string      `json:"specVersion"`
		Version    int         `json:"version"`
		Metadata   metadata    `json:"metadata"`
		Components []component `json:"components"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

// billOfMaterials returns the list of the modules that are linked into programs, as the programs themselves state it, and of the Go release
// that built them. It has no time and no serial number, so that the same programs give the same bytes.
func billOfMaterials(version string, programs ...string) ([]byte, error) {
	parts := map[string]component{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return nil, err
		}
		release := strings.TrimPrefix(info.GoVersion, "go")
		parts["std"] = component{Type: "library", Ref: "std", Name: "std", Version: release, PURL: "pkg:golang/std@" + release}
		for _, d := range info.Deps {
			for d.Replace != nil {
				d = d.Replace
			}
			purl := "pkg:golang/" + d.Path + "@" + d.Version
			parts[purl] = component{
				Type: "library", Ref: purl, Name: d.Path, Version: d.Version, PURL: purl,
				Properties: []property{{Name: "nuka:go.sum", Value: d.Sum}},
			}
		}
	}
	doc := bom{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: metadata{component{Type: "application", Ref: "nuka", Name: "nuka", Version: version}},
	}
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		doc.Components = append(doc.Components, parts[key])
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	return append(b, '\n'), err
}
