package inventory

import (
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// RoleTool is the role of a package whose files do not get into what it helps to build, such as a compiler.
const RoleTool = "tool"

// osvTypes maps ecosystems, as OSV names them, to the types of package URLs.
var osvTypes = map[string]string{
	"Go": "golang", "npm": "npm", "PyPI": "pypi", "crates" + ".io": "cargo", "Maven": "maven", "Debian": "deb",
}

// vendored returns the parts that a packager says a package contains: code that was copied into its sources, and that neither the name nor the version of a source tells.
func vendored(p *pir.PIR) (out []Part) {
	list, _ := p.Policy["parts"].(nuon.List)
	for _, v := range list {
		rec, _ := v.(nuon.Record)
		field := func(name string) string { s, _ := rec[name].(string); return clean(s) }
		kind := osvTypes[field("ecosystem")]
		if kind == "" {
			kind = "generic"
		}
		part := Part{Where: Source, Type: kind, Name: normal(kind, field("name")), Version: field("version")}
		if part.Name == "" {
			continue
		}
		qualifiers := map[string]string{}
		if kind == "deb" {
			qualifiers["arch"] = "source"
		}
		part.PURL = purl(kind, part.Name, part.Version, qualifiers)
		out = append(out, part)
	}
	return out
}
