package source

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/source/debversion"
	"github.com/MordragT/nuka/source/kind"
)

// Deb is the kind of a Debian binary package.
const Deb OriginKind = "deb"

// aptFiles names the files of apt's sources, for display.
const aptFiles = "`/etc/apt/sources.list`, `/etc/apt/sources.list.d`: both forms, suites and flat repositories"

func debKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Deb), About: "A Debian binary package.", More: kind.Downloaded,
			Args: kind.Release("The package."),
			Flags: kind.Archive(
				kind.Param{Name: "arch", Type: kind.String, About: "The architecture, such as amd64."},
				kind.Param{
					Name: "control", Type: kind.Switch, Aside: true, Excludes: "unpack",
					About: "Also the files of its control archive, in the folder DEBIAN.",
				},
				kind.Param{Name: "path", Type: kind.String, About: "Its path below the repository's address, such as pool/main/z/zlib/zlib1g_1.3.dfsg-3_amd64.deb."},
			),
			Examples: []kind.Example{{Text: "fetch deb zlib1g 1:1.3.dfsg-3 --arch amd64 --hash sha256-aaaa", About: "A library."}},
			Unpacked: unpackedDeb,
		},
		Check:   checkDeb,
		Fetch:   (*Fetcher).fetchDebPath,
		Digests: []pir.HashAlgorithm{pir.SHA256},
		Doc: "```nu eval\nfetch deb zlib1g 1:1.2.13.dfsg-1 --arch amd64 --hash b3-c4etlyb3w2i3ijakqymttxwsc5c6vyy7hsbwowgugkkbijrgtzbq\n```\n\n" +
			"`--control` makes the tree that `dpkg-deb --raw-extract` makes: the data, and the files of the control archive in the folder `DEBIAN`.\n" +
			"Environments with `layout: fhs-1` read them ([packages.md](packages.md#trees-of-debian-packages)). It is part of the PID: the same as `--unpack deb-raw`.\n\n" +
			"`--path` is where the file lies below the address of its repository, the field `Filename` of its index. nuka then looks there in each\n" +
			"repository of apt's sources, and downloads an index only if none has the file. A version that left the indexes is often still there.\n" +
			"The path is no part of the PID.",
		Finds:    aptFiles + "; without `--arch`, this machine's",
		Registry: "Debian repositories",
		Answers:  (*Fetcher).debianAnswers,
		Find:     (*Fetcher).resolveDebian,
	}
}

// An aptSource is one repository of apt's configuration (sources.list(5)).
type aptSource struct {
	base       string // without a slash at the end
	suite      string // of a flat repository: a folder with a slash at the end
	components []string
	signedBy   string // files, fingerprints or a key; "" is apt's own keys
}

// indexes returns the addresses of a source's indexes, without the suffixes of compressed ones.
func (s aptSource) indexes(o Origin) (out []string) {
	names := []string{"source/Sources"}
	flat := "Sources"
	if o.Kind == Deb {
		names, flat = nil, "Packages"
		for _, arch := range debianArchs(o.Flags["arch"]) {
			names = append(names, "binary-"+arch+"/Packages")
		}
	}
	if strings.HasSuffix(s.suite, "/") {
		return []string{s.base + path.Join("/", s.suite, flat)}
	}
	for _, component := range s.components {
		for _, name := range names {
			out = append(out, s.base+"/dists/"+s.suite+"/"+component+"/"+name)
		}
	}
	return out
}

// debianArchs returns the architectures whose indexes may list a package; the default is this machine's.
// The index of an architecture also lists the packages for all; some repositories list those separately.
func debianArchs(arch string) []string {
	if arch != "" {
		return []string{arch}
	}
	own := runtime.GOARCH
	if name, ok := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mipsle": "mipsel", "mips64le": "mips64el", "loong64": "loong64"}[own]; ok {
		own = name
	}
	return []string{own, "all"}
}

// aptSources reads apt's sources in both of their forms.
func (c *Client) aptSources() []aptSource {
	dir := c.system("etc", "apt")
	if dir == "" {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(dir, "sources.list.d", "*"))
	var sources []aptSource
	for _, file := range append([]string{filepath.Join(dir, "sources.list")}, files...) {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		switch filepath.Ext(file) {
		case ".list":
			sources = append(sources, oneLineSources(content)...)
		case ".sources":
			sources = append(sources, deb822Sources(content)...)
		}
	}
	// Distributions have "main"; third-party repositories often lack it, and often do not answer.
	slices.SortStableFunc(sources, func(a, b aptSource) int {
		rank := func(s aptSource) int {
			if slices.Contains(s.components, "main") {
				return 0
			}
			return 1 + len(s.components)
		}
		return rank(a) - rank(b)
	})
	return sources
}

// aptSources returns apt's sources. For another user's request it drops the names and passwords in their addresses.
func (f *Fetcher) aptSources(stranger bool) []aptSource {
	sources := f.o.Client.aptSources()
	for i := range sources {
		if stranger {
			sources[i].base = withoutUser(sources[i].base)
		}
	}
	return sources
}

func oneLineSources(content []byte) []aptSource {
	var sources []aptSource
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		signedBy := ""
		if from := strings.Index(line, "["); from >= 0 {
			if to := strings.Index(line, "]"); to > from {
				for option := range strings.FieldsSeq(line[from+1 : to]) {
					if value, ok := strings.CutPrefix(strings.ToLower(option), "signed-by="); ok {
						signedBy = option[len(option)-len(value):]
					}
				}
				line = line[:from] + line[to+1:]
			}
		}
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "deb" && f[0] != "deb-src" || !strings.HasPrefix(f[1], "http") {
			continue
		}
		if flat := strings.HasSuffix(f[2], "/"); flat != (len(f) == 3) {
			continue // apt allows no components for a folder, and requires some for a suite
		}
		sources = append(sources, aptSource{strings.TrimRight(f[1], "/"), f[2], f[3:], signedBy})
	}
	return sources
}

func deb822Sources(content []byte) []aptSource {
	var sources []aptSource
	for _, stanza := range stanzas(content) {
		if strings.EqualFold(stanza["enabled"], "no") {
			continue
		}
		for _, base := range strings.Fields(stanza["uris"]) {
			for _, suite := range strings.Fields(stanza["suites"]) {
				if strings.HasPrefix(base, "http") {
					sources = append(sources, aptSource{strings.TrimRight(base, "/"), suite, strings.Fields(stanza["components"]), stanza["signed-by"]})
				}
			}
		}
	}
	return sources
}

// stanzas reads Debian's control format (deb822(5)), with field names in lower case.
func stanzas(content []byte) []map[string]string {
	var out []map[string]string
	for s := range eachStanza(bytes.NewReader(content)) {
		out = append(out, s)
	}
	return out
}

func eachStanza(r io.Reader) func(yield func(map[string]string) bool) {
	return func(yield func(map[string]string) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 16<<20)
		stanza, field := map[string]string{}, ""
		for lines.Scan() {
			line := lines.Text()
			switch {
			case strings.TrimSpace(line) == "":
				if len(stanza) > 0 && !yield(stanza) {
					return
				}
				stanza, field = map[string]string{}, ""
			case line[0] == '#':
			case line[0] == ' ' || line[0] == '\t':
				stanza[field] += "\n" + strings.TrimSpace(line)
			default:
				name, value, _ := strings.Cut(line, ":")
				field = strings.ToLower(name)
				stanza[field] = strings.TrimSpace(value)
			}
		}
		if len(stanza) > 0 {
			yield(stanza)
		}
	}
}

func noDebian() error {
	return noRegistry("Debian package", "apt's sources are read from /etc/apt/sources.list and /etc/apt/sources.list.d")
}

// resolveDebian looks up a binary package, or the upstream archive of a source package, in the indexes of apt's sources.
func (f *Fetcher) resolveDebian(ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error) {
	sources := f.aptSources(regs.stranger)
	if len(sources) == 0 {
		return nil, noDebian()
	}
	if o.Kind == DebSrc {
		if at, err := f.resolveDebianSource(ctx, sources, o, want); at != nil || err != nil {
			return at, err
		}
	}
	stanza, base, err := f.debianStanza(ctx, sources, o)
	if err != nil {
		return nil, err
	}
	if o.Kind == Deb {
		return []place{{url: base + "/" + strings.TrimPrefix(stanza["filename"], "./")}}, nil
	}
	src, err := parseDebianSource(stanza, base+"/"+stanza["directory"])
	if err != nil {
		return nil, err
	}
	if file, ok := src.file(o, want); ok {
		return []place{file.place}, nil
	}
	return nil, protocol.Errorf(protocol.NotFound, "debian source %s %s has no such file", o.Name, o.Version).WithHint("%s", src.hint())
}

// resolveDebianSource finds one archive of a source package without the full index, or returns nothing.
func (f *Fetcher) resolveDebianSource(ctx context.Context, sources []aptSource, o Origin, want pir.Hash) ([]place, error) {
	src, err := f.debianSource(ctx, sources, o)
	if err != nil {
		return nil, err
	}
	if src != nil {
		if file, ok := src.file(o, want); ok {
			return []place{file.place}, nil
		}
		return nil, protocol.Errorf(protocol.NotFound, "debian source %s %s has no such file", o.Name, o.Version).WithHint("%s", src.hint())
	}
	if o.Flags["file"] == "" { // the original archive remains when its revision is removed
		return f.guessPool(ctx, sources, o), nil
	}
	return nil, nil
}

// hint lists the files of the source package.
func (s *debianSource) hint() string {
	var names []string
	for _, file := range s.files {
		names = append(names, file.name)
	}
	return "choose one with --file: " + strings.Join(names, ", ")
}

// debianStanza returns a package's stanza in an index, and the base address of the index's repository.
func (f *Fetcher) debianStanza(ctx context.Context, sources []aptSource, o Origin) (stanza map[string]string, base string, err error) {
	var failure error
	var versions []string
	for _, s := range sources {
		for _, address := range s.indexes(o) {
			index, err := f.debianIndex(ctx, address)
			if err != nil {
				failure = err
				continue
			}
			stanza, others := findDebian(index, o)
			if stanza != nil {
				return stanza, s.base, nil
			}
			versions = append(versions, others...)
		}
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
	}
	if len(versions) > 0 {
		slices.SortFunc(versions, debversion.Compare)
		versions = slices.Compact(versions)
		return nil, "", noVersion(o, versions[len(versions)-1], versions)
	}
	if failure != nil && protocol.CodeOf(failure) != protocol.NotFound {
		return nil, "", failure
	}
	return nil, "", protocol.Errorf(protocol.NotFound, "none of apt's sources has %s %s", o.Name, o.Version).
		WithHint("a distribution keeps one version at a time: see which with apt-cache policy %s", o.Name)
}

// guessPool tries the address at which Debian's archive keeps the upstream archive of a source package,
// which avoids downloading the full index.
func (f *Fetcher) guessPool(ctx context.Context, sources []aptSource, o Origin) []place {
	seen := map[string]bool{}
	for _, s := range sources {
		for _, component := range s.components {
			folder := s.base + "/pool/" + component + "/" + poolPrefix(o.Name) + "/" + o.Name + "/" + o.Name + "_" + upstreamVersion(o.Version) + ".orig.tar."
			if seen[folder] || component != "main" {
				continue
			}
			seen[folder] = true
			for _, ext := range []string{"gz", "xz", "bz2"} {
				p := place{url: folder + ext}
				resp, err := f.open(ctx, p, 0, "")
				if err == nil {
					resp.Body.Close()
					return []place{p}
				}
				if protocol.CodeOf(err) != protocol.NotFound {
					break
				}
			}
		}
	}
	return nil
}

// upstreamVersion drops the epoch and Debian's revision (deb-version(7)).
func upstreamVersion(v string) string {
	v = withoutEpoch(v)
	if i := strings.LastIndex(v, "-"); i >= 0 {
		v = v[:i]
	}
	return v
}

// debianIndex returns an index. It tries the compressed forms.
func (f *Fetcher) debianIndex(ctx context.Context, address string) (io.Reader, error) {
	var failure error
	for _, ext := range []string{".xz", ".gz", ""} {
		body, err := f.getFile(ctx, place{url: address + ext})
		if err != nil {
			if failure = err; protocol.CodeOf(err) == protocol.NotFound {
				continue
			}
			return nil, err
		}
		if ext == "" {
			return bytes.NewReader(body), nil
		}
		plain, _, _, err := archive.Decompress(bytes.NewReader(body))
		return plain, err
	}
	return nil, failure
}

// findDebian returns the stanza of the package that o names, or the package's versions in the index.
func findDebian(index io.Reader, o Origin) (found map[string]string, versions []string) {
	for s := range eachStanza(index) {
		if s["package"] != o.Name {
			continue
		}
		if s["version"] == o.Version {
			return s, nil
		}
		versions = append(versions, s["version"])
	}
	return nil, versions
}
