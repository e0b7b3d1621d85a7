package inventory

import (
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// cyclonedxSchema names the schema of the written version.
const cyclonedxSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"

var cdxHashes = map[string]cdx.HashAlgorithm{
	"md5": cdx.HashAlgoMD5, "sha1": cdx.HashAlgoSHA1, "sha256": cdx.HashAlgoSHA256, "sha384": cdx.HashAlgoSHA384, "sha512": cdx.HashAlgoSHA512,
}

func writeCycloneDX(out io.Writer, i *Inventory, o *WriteOptions) error {
	name, err := i.uuid(o, CycloneDX)
	if err != nil {
		return err
	}
	var l licenses
	tool, version, _ := strings.Cut(o.Tool, "-")
	root := cdxPart(&i.Root, &l)
	root.Type, root.BOMRef = cdx.ComponentTypeApplication, "root"
	bom := &cdx.BOM{
		JSONSchema: cyclonedxSchema, BOMFormat: "CycloneDX", SpecVersion: cdx.SpecVersion1_6, SerialNumber: name, Version: 1,
		Metadata: &cdx.Metadata{Component: &root, Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: tool, Version: version}}}},
	}
	if !o.Created.IsZero() {
		bom.Metadata.Timestamp = o.Created.UTC().Format(time.RFC3339)
	}
	at := i.refs(root.BOMRef)
	needs := map[string]map[string]bool{root.BOMRef: {}}
	parts := make([]cdx.Component, 0, len(i.Parts))
	for n := range i.Parts {
		p := &i.Parts[n]
		c := cdxPart(p, &l)
		parts = append(parts, c)
		for _, of := range p.Of {
			by := at[of]
			if by == "" {
				by = root.BOMRef
			}
			if needs[by] == nil {
				needs[by] = map[string]bool{}
			}
			if by != c.BOMRef {
				needs[by][c.BOMRef] = true
			}
		}
	}
	bom.Components = &parts
	dependencies := make([]cdx.Dependency, 0, len(needs))
	for _, by := range slices.Sorted(maps.Keys(needs)) {
		on := slices.Sorted(maps.Keys(needs[by]))
		dependencies = append(dependencies, cdx.Dependency{Ref: by, Dependencies: &on})
	}
	bom.Dependencies = &dependencies
	if len(i.Missing) > 0 {
		bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &[]cdx.BOMReference{cdx.BOMReference(root.BOMRef)}}}
		var why []cdx.Property
		for _, text := range i.Missing {
			why = append(why, cdx.Property{Name: "nuka:missing", Value: clean(text)})
		}
		bom.Metadata.Properties = &why
	}
	return cdx.NewBOMEncoder(out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).Encode(bom)
}

func cdxPart(p *Part, l *licenses) cdx.Component {
	c := cdx.Component{BOMRef: p.ref(), Type: cdx.ComponentTypeLibrary, Name: clean(p.Name), Version: clean(p.Version), PackageURL: p.PURL}
	if c.Name == "" { // a name of control characters only
		c.Name = "unnamed"
	}
	if p.Type == "maven" {
		if group, artifact, ok := strings.Cut(c.Name, ":"); ok && artifact != "" {
			c.Group, c.Name = group, artifact
		}
	}
	if p.Where == Package {
		c.Type = cdx.ComponentTypeApplication
	}
	if p.Seen == Installed {
		c.Scope = cdx.ScopeRequired
	}
	if text := clean(p.License); text != "" {
		declared := cdx.LicenseAcknowledgementDeclared
		if e := l.expression(text); e != "" {
			c.Licenses = &cdx.Licenses{{Expression: e, Acknowledgement: &declared}}
		} else {
			c.Licenses = &cdx.Licenses{{License: &cdx.License{Name: text, Acknowledgement: declared}}}
		}
	}
	var properties []cdx.Property
	set := func(name, value string) {
		if value != "" {
			properties = append(properties, cdx.Property{Name: "nuka:" + name, Value: clean(value)})
		}
	}
	set("where", string(p.Where))
	set("seen", string(p.Seen))
	set("released", p.Released)
	if !p.PID.IsZero() {
		set("pid", p.PID.String())
	}
	if len(p.Files) > 0 {
		f := &p.Files[0]
		c.Hashes = cdxHashesOf(f)
		cdxFile(f, set)
		if at := f.address(); at != "" {
			c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeDistribution, URL: at}}
		}
	}
	c.Properties = &properties
	if len(p.Files) > 1 {
		more := make([]cdx.Component, 0, len(p.Files)-1)
		for n := range p.Files[1:] {
			more = append(more, cdxMore(&p.Files[1+n]))
		}
		c.Components = &more
	}
	return c
}

// cdxMore returns the component of a further file of a part.
func cdxMore(f *File) cdx.Component {
	c := cdx.Component{Type: cdx.ComponentTypeFile, Name: clean(f.Name), Hashes: cdxHashesOf(f)}
	if c.Name == "" {
		c.Name = f.Content
	}
	if c.Name == "" {
		c.Name = "unnamed"
	}
	var properties []cdx.Property
	cdxFile(f, func(name, value string) {
		if value != "" {
			properties = append(properties, cdx.Property{Name: "nuka:" + name, Value: clean(value)})
		}
	})
	if len(properties) > 0 {
		c.Properties = &properties
	}
	return c
}

func cdxFile(f *File, set func(name, value string)) {
	set("file", f.Name)
	set("content", f.Content)
	set("origin", f.Origin)
	set("checked", f.Checked)
}

func cdxHashesOf(f *File) *[]cdx.Hash {
	var all []cdx.Hash
	f.hashes(func(algorithm, text string) {
		all = append(all, cdx.Hash{Algorithm: cdxHashes[algorithm], Value: text})
	})
	if len(all) == 0 {
		return nil
	}
	return &all
}
