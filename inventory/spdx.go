package inventory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const noAssertion = "NOASSERTION"

var spdxHashes = map[string]common.ChecksumAlgorithm{"md5": common.MD5, "sha1": common.SHA1, "sha256": common.SHA256, "sha384": common.SHA384, "sha512": common.SHA512}

// relations maps the places of parts to their relationships to the package they belong to: the type, and whether the part is its subject.
var relations = map[Where]struct {
	kind string
	part bool
}{
	Language: {common.TypeRelationshipContains, false},
	Package:  {common.TypeRelationshipDependsOn, false},
	Runtime:  {common.TypeRelationshipRuntimeDependencyOf, true},
	Source:   {common.TypeRelationshipGeneratedFrom, false},
}

func writeSPDX(out io.Writer, i *Inventory, o *WriteOptions) error {
	name, err := i.uuid(o, SPDX)
	if err != nil {
		return err
	}
	created := o.Created
	if created.IsZero() {
		created = time.Unix(0, 0)
	}
	w := &spdxWriter{other: map[string]string{}}
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentNamespace: name,
		CreationInfo: &spdx.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: o.Tool}}, Created: created.UTC().Format(time.RFC3339)},
	}
	if o.Created.IsZero() {
		doc.CreationInfo.CreatorComment = "The time of creation was left out, so that one package has one document; set SOURCE_DATE_EPOCH to write it."
	}
	if len(i.Missing) > 0 {
		doc.DocumentComment = "This list is not whole: " + clean(strings.Join(i.Missing, "; "))
	}
	root := w.part(&i.Root)
	root.PackageSPDXIdentifier, root.PrimaryPackagePurpose = "root", "APPLICATION"
	doc.DocumentName = strings.TrimSpace(root.PackageName + " " + root.PackageVersion)
	doc.Packages = append(make([]*spdx.Package, 0, len(i.Parts)+1), root)
	relate := func(a common.ElementID, kind string, b common.ElementID) {
		doc.Relationships = append(doc.Relationships, &spdx.Relationship{RefA: common.DocElementID{ElementRefID: a}, RefB: common.DocElementID{ElementRefID: b}, Relationship: kind})
	}
	relate(doc.SPDXIdentifier, common.TypeRelationshipDescribe, root.PackageSPDXIdentifier)
	at := i.refs("root")
	for n := range i.Parts {
		p := &i.Parts[n]
		one := w.part(p)
		doc.Packages = append(doc.Packages, one)
		for _, of := range p.Of {
			by := common.ElementID(cmp.Or(at[of], "root"))
			how := relations[p.Where]
			if p.Where == Language && p.Seen != Installed {
				how.kind, how.part = common.TypeRelationshipBuildDependencyOf, true // all that is known: the build fetched it
			}
			switch {
			case by == one.PackageSPDXIdentifier:
			case how.part:
				relate(one.PackageSPDXIdentifier, how.kind, by)
			default:
				relate(by, how.kind, one.PackageSPDXIdentifier)
			}
		}
	}
	for _, text := range slices.Sorted(maps.Keys(w.other)) {
		doc.OtherLicenses = append(doc.OtherLicenses, &spdx.OtherLicense{LicenseIdentifier: w.other[text], ExtractedText: text, LicenseName: text})
	}
	slices.SortFunc(doc.OtherLicenses, func(a, b *spdx.OtherLicense) int { return strings.Compare(a.LicenseIdentifier, b.LicenseIdentifier) })
	text := json.NewEncoder(out)
	text.SetEscapeHTML(false)
	text.SetIndent("", "  ")
	return text.Encode(doc)
}

type spdxWriter struct {
	licenses licenses
	other    map[string]string // texts of licenses without an SPDX form, to LicenseRef-…
}

func (w *spdxWriter) part(p *Part) *spdx.Package {
	out := &spdx.Package{
		PackageSPDXIdentifier: common.ElementID(p.ref()), PackageName: cmp.Or(clean(p.Name), "unnamed"), PackageVersion: clean(p.Version),
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: w.license(clean(p.License)), PackageCopyrightText: noAssertion,
	}
	switch p.Where {
	case Language:
		out.PrimaryPackagePurpose = "LIBRARY"
	case Source:
		out.PrimaryPackagePurpose = "SOURCE"
	}
	if p.PURL != "" {
		out.PackageExternalReferences = []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: p.PURL}}
	}
	if released, err := time.Parse(time.DateOnly, p.Released); err == nil {
		out.ReleaseDate = released.Format(time.RFC3339)
	}
	about := []string{"nuka: " + string(p.Where)}
	add := func(name, value string) {
		if value != "" {
			about = append(about, name+" "+clean(value))
		}
	}
	add("seen", string(p.Seen))
	if !p.PID.IsZero() {
		add("pid", p.PID.String())
	}
	for n := range p.Files {
		f := &p.Files[n]
		add("file", f.Name)
		add("content", f.Content)
		add("checked", f.Checked)
		f.hashes(func(algorithm, text string) {
			if n == 0 {
				out.PackageChecksums = append(out.PackageChecksums, common.Checksum{Algorithm: spdxHashes[algorithm], Value: text})
			} else {
				add(algorithm, text)
			}
		})
		if n == 0 {
			out.PackageFileName = clean(f.Name)
			out.PackageDownloadLocation = cmp.Or(f.address(), noAssertion)
		}
	}
	out.PackageComment = strings.Join(about, "; ")
	return out
}

// license returns a license as SPDX has it.
func (w *spdxWriter) license(text string) string {
	if text == "" {
		return noAssertion
	}
	if e := w.licenses.expression(text); e != "" {
		return e
	}
	id := w.other[text]
	if id == "" {
		sum := sha256.Sum256([]byte(text))
		id = fmt.Sprintf("LicenseRef-nuka-%s", hex.EncodeToString(sum[:16]))
		w.other[text] = id
	}
	return id
}
