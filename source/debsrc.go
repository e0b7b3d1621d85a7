package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/kind"
	"github.com/MordragT/nuka/source/patch"
)

// DebSrc is the kind of a Debian source package, or of a file of one.
const DebSrc OriginKind = "debsrc"

func debsrcKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(DebSrc), About: "A Debian source package, or a file of it.", More: kind.Downloaded,
			Args: kind.Release("The source package."),
			Flags: kind.Archive(
				kind.Param{Name: "file", Type: kind.String, About: "Which file: a pattern such as *.orig.tar.*."},
				kind.Param{Name: "patches", Type: kind.Switch, About: "All originals, with Debian's patches applied in their order."},
			),
			Examples: []kind.Example{
				{Text: "fetch debsrc zlib 1:1.3.dfsg-3 --hash sha256-aaaa", About: "The upstream source."},
				{Text: "fetch debsrc zlib 1:1.3.dfsg-3 --patches --hash b3-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", About: "As Debian builds it."},
			},
			Stripped: func(kind.Fields) int { return 1 },
		},
		Digests: []pir.HashAlgorithm{pir.SHA256},
		Doc: "nuka fetches the original archives of a source package. If there are several, each has the folder that dpkg gives it.\n" +
			"A native package has one archive. `--file`, or the digest of an archive, picks one file, such as `'*.debian.tar.xz'`; `b3-…` names the\n" +
			"whole tree.\n\n" +
			"```nu eval\nfetch debsrc zlib 1:1.2.13.dfsg-1 --hash b3-mxtqyrmjd432t54plwhkwuli7bxvzdwjg3isa5d6dnlc5mmmgghq\n```\n\n" +
			"With `--patches` the tree is the source as Debian builds it: nuka adds Debian's folder `debian` and applies its patches in their order, so\n" +
			"the tree equals the output of `dpkg-source -x`. Only `b3-…` can fix it.",
		Finds: aptFiles,
		Find:  (*Fetcher).resolveDebian,
		Fetch: (*Fetcher).fetchDebianSource,
	}
}

// A debianSource is a Debian source package: the files listed in its .dsc (dsc(5)).
type debianSource struct {
	name, version string
	format        string
	files         []debianFile
}

type debianFile struct {
	name   string
	sha256 pir.Hash
	place  place
}

// parseDebianSource reads a .dsc, or a stanza of an index of sources; folder is the address of its files' folder.
func parseDebianSource(stanza map[string]string, folder string) (*debianSource, error) {
	s := &debianSource{name: first(stanza["source"], stanza["package"]), version: stanza["version"], format: stanza["format"]}
	for line := range strings.Lines(stanza["checksums-sha256"]) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		sum, err := hex.DecodeString(f[0])
		if err != nil || len(sum) != 32 || strings.ContainsAny(f[2], "/\\") {
			return nil, protocol.Errorf(protocol.Invalid, "debian source %s: an invalid file entry: %.100q", s.name, line)
		}
		s.files = append(s.files, debianFile{f[2], pir.NewHash(pir.SHA256, sum), place{url: folder + "/" + url.PathEscape(f[2])}})
	}
	return s, nil
}

// dscStanza returns the fields of a .dsc, which is clear-signed.
func dscStanza(body []byte) map[string]string {
	for stanza := range eachStanza(bytes.NewReader(body)) {
		if stanza["checksums-sha256"] != "" {
			return stanza
		}
	}
	return nil
}

// debianSource finds a source package: by its .dsc in Debian's archive, or in the full index.
func (f *Fetcher) debianSource(ctx context.Context, sources []aptSource, o Origin) (*debianSource, error) {
	tried := map[string]bool{}
	for _, s := range sources {
		for _, component := range s.components {
			folder := s.base + "/pool/" + component + "/" + poolPrefix(o.Name) + "/" + o.Name
			if tried[folder] || component != "main" {
				continue
			}
			tried[folder] = true
			body, err := f.getFile(ctx, place{url: folder + "/" + url.PathEscape(o.Name+"_"+withoutEpoch(o.Version)+".dsc")})
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				continue
			}
			if stanza := dscStanza(body); stanza["source"] == o.Name && stanza["version"] == o.Version {
				return parseDebianSource(stanza, folder)
			}
		}
	}
	return nil, nil
}

func poolPrefix(name string) string {
	if strings.HasPrefix(name, "lib") && len(name) > 3 {
		return name[:4]
	}
	return name[:1]
}

func withoutEpoch(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		return rest
	}
	return version
}

// find returns the files whose names begin with a prefix, without signatures: one for each compression, or several components.
func (s *debianSource) find(middle string) []debianFile {
	var out []debianFile
	for _, file := range s.files {
		if strings.HasPrefix(file.name, middle) && !strings.HasSuffix(file.name, ".asc") {
			out = append(out, file)
		}
	}
	return out
}

// main returns the original archive, or the only archive of a native package.
func (s *debianSource) main() (debianFile, bool) {
	for _, prefix := range []string{
		s.name + "_" + upstreamVersion(s.version) + ".orig.tar.",
		s.name + "_" + withoutEpoch(s.version) + ".tar.",
	} {
		if files := s.find(prefix); len(files) == 1 {
			return files[0], true
		}
	}
	return debianFile{}, false
}

// components returns the further originals, keyed by the folder into which each is unpacked.
func (s *debianSource) components() (map[string]debianFile, error) {
	out := map[string]debianFile{}
	prefix := s.name + "_" + upstreamVersion(s.version) + ".orig-"
	for _, file := range s.find(prefix) {
		component, _, ok := strings.Cut(strings.TrimPrefix(file.name, prefix), ".tar.")
		if !ok || component == "" || component == "debian" || strings.Trim(component, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			return nil, protocol.Errorf(protocol.Invalid, "debian source %s: %.100q is not a component's name", s.name, file.name)
		}
		out[component] = file
	}
	return out, nil
}

// file returns the file that o selects by name, or by the digest that fixes the output, or else the main one.
func (s *debianSource) file(o Origin, want pir.Hash) (debianFile, bool) {
	for _, file := range s.files {
		if o.Flags["file"] == "" && file.sha256 == want {
			return file, true
		}
		if ok, err := filepath.Match(o.Flags["file"], file.name); o.Flags["file"] != "" && ok && err == nil && !strings.HasSuffix(file.name, ".asc") {
			return file, true
		}
	}
	if o.Flags["file"] != "" {
		return debianFile{}, false
	}
	return s.main()
}

// fetchDebianSource makes r.Dir/out from all originals of a source package, with Debian's patches if o selects them,
// as dpkg-source -x does. It returns false for a single archive, which is fetched like any other.
func (f *Fetcher) fetchDebianSource(ctx context.Context, o Origin, r *Request) (bool, error) {
	// A digest of an archive fixes only this archive.
	one := o.Flags["file"] != "" || r.Unpack != pir.UnpackArchive || r.Hash.Algorithm != "" && r.Hash.Algorithm != pir.B3
	if one && o.Flags["patches"] == "" {
		return false, nil
	}
	if one {
		return false, protocol.Errorf(protocol.Invalid, "fetch debsrc %s: patches change what a digest of one archive fixes", o.Name).
			WithHint("give the hash of the tree, b3-…, and no --file")
	}
	s, err := f.findDebianSource(ctx, o, f.registries(r).stranger)
	if err != nil {
		if o.Flags["patches"] == "" && ctx.Err() == nil { // the original may exist nevertheless
			return false, nil
		}
		return false, err
	}
	main, ok := s.main()
	components, err := s.components()
	if err != nil {
		return false, err
	}
	if !ok || len(components) == 0 && o.Flags["patches"] == "" {
		return false, nil
	}
	out := filepath.Join(r.Dir, Out)
	if err := f.debianPart(ctx, main, r, out); err != nil {
		return true, err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return true, err
	}
	defer root.Close()
	for name, file := range components {
		if err := root.RemoveAll(name); err != nil {
			return true, err
		}
		if err := f.debianPart(ctx, file, r, filepath.Join(out, name)); err != nil {
			return true, err
		}
	}
	if o.Flags["patches"] != "" {
		err = f.debianChanges(ctx, s, r, root)
	}
	return true, err
}

// findDebianSource finds a source package by its .dsc or in the full index.
func (f *Fetcher) findDebianSource(ctx context.Context, o Origin, stranger bool) (*debianSource, error) {
	sources := f.aptSources(stranger)
	s, err := f.debianSource(ctx, sources, o)
	if s != nil || err != nil {
		return s, err
	}
	stanza, base, err := f.debianStanza(ctx, sources, o)
	if err != nil {
		return nil, err
	}
	return parseDebianSource(stanza, base+"/"+stanza["directory"])
}

// debianPart downloads one archive of a source package, checks its digest, and unpacks it to the folder out,
// without its top folder if that contains everything.
func (f *Fetcher) debianPart(ctx context.Context, file debianFile, r *Request, out string) error {
	part := *r
	part.Hash, part.Unpack, part.Strip = file.sha256, pir.UnpackArchive, 0
	a, err := f.downloadOne(ctx, file.place, &part)
	if err != nil {
		return err
	}
	defer os.Remove(a.path)
	defer a.close()
	whole := filepath.Join(r.Dir, "part")
	if err := f.unpackInto(ctx, a, whole, &part); err != nil {
		return fmt.Errorf("%s: %w", file.name, err)
	}
	list, err := os.ReadDir(whole)
	if err != nil {
		return err
	}
	if len(list) == 1 && list[0].IsDir() {
		if err := os.Rename(filepath.Join(whole, list[0].Name()), out); err != nil {
			return err
		}
		return os.RemoveAll(whole)
	}
	return os.Rename(whole, out)
}

// debianChanges applies Debian's changes to the originals.
func (f *Fetcher) debianChanges(ctx context.Context, s *debianSource, r *Request, root *os.Root) error {
	prefix := s.name + "_" + withoutEpoch(s.version)
	if diffs := s.find(prefix + ".diff."); len(diffs) == 1 {
		part := *r
		part.Hash = diffs[0].sha256
		a, err := f.downloadOne(ctx, diffs[0].place, &part)
		if err != nil {
			return err
		}
		defer os.Remove(a.path)
		defer a.close()
		z, err := gzip.NewReader(a.file)
		if err != nil {
			return fmt.Errorf("%s: %w", diffs[0].name, err)
		}
		if err := applyReader(ctx, root, diffs[0].name, z); err != nil {
			return err
		}
		return rulesExecutable(root)
	}
	files := s.find(prefix + ".debian.tar.")
	if len(files) == 0 {
		return nil // a native package has no changes
	}
	if err := root.RemoveAll("debian"); err != nil {
		return err
	}
	// The archive's only folder is debian itself.
	if err := f.debianPart(ctx, files[0], r, filepath.Join(r.Dir, Out, "debian")); err != nil {
		return err
	}
	names, err := patchSeries(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		file, err := root.Open("debian/patches/" + name)
		if err != nil {
			return fmt.Errorf("patch %s: %w", name, err)
		}
		err = applyReader(ctx, root, name, file)
		file.Close()
		if err != nil {
			return err
		}
	}
	return rulesExecutable(root)
}

// patchSeries returns the names of Debian's patches in order (dpkg-source(1), format 3.0 (quilt)).
func patchSeries(root *os.Root) ([]string, error) {
	text, err := root.ReadFile("debian/patches/debian.series")
	if errors.Is(err, os.ErrNotExist) {
		text, err = root.ReadFile("debian/patches/series")
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if i := strings.Index(line, "#"); i == 0 || i > 0 && strings.TrimSpace(line[i-1:i]) == "" {
			line = line[:i]
		}
		field := strings.Fields(line)
		if len(field) == 0 {
			continue
		}
		if len(field) > 1 && !slices.Equal(field[1:], []string{"-p1"}) {
			return nil, protocol.Errorf(protocol.Invalid, "debian/patches/series: %.100q has options other than -p1", line)
		}
		names = append(names, field[0])
	}
	return names, err
}

func applyReader(ctx context.Context, root *os.Root, name string, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, patch.Max+1))
	if err == nil && len(text) > patch.Max {
		err = protocol.Errorf(protocol.Exhausted, "more than the limit of %d bytes", patch.Max)
	}
	if err == nil {
		err = patch.Apply(ctx, root, archive.Folder{Root: root}.Create, text)
	}
	if err != nil {
		return fmt.Errorf("patch %s: %w", name, err)
	}
	return nil
}

// rulesExecutable makes debian/rules executable, as dpkg does: a patch has no mode bits.
func rulesExecutable(root *os.Root) error {
	if info, err := root.Lstat("debian/rules"); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return root.Chmod("debian/rules", 0o755)
}
