package source

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
	"github.com/MordragT/nuka/source/pyversion"
)

// PyPI is the kind of a file in a release on a Python package index.
const PyPI OriginKind = "pypi"

func pypiKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(PyPI), About: "A file of a release on the Python package index.", More: kind.Downloaded,
			Args:     kind.Release("The project."),
			Flags:    kind.Archive(kind.Param{Name: "file", Type: kind.String, About: "Which file of the release: a pattern such as *.tar.gz. With .metadata at its end, the metadata of that wheel."}),
			Examples: []kind.Example{{Text: "fetch pypi six 1.17.0 --file *.tar.gz --hash sha256-aaaa", About: "The source of a release."}},
			Stripped: func(fields kind.Fields) int {
				if strings.HasSuffix(fields["file"], ".whl") || strings.HasSuffix(fields["file"], metadata) { // a wheel has no top folder
					return 0
				}
				return 1
			},
			Unpacked: func(fields kind.Fields) pir.Unpack {
				if strings.HasSuffix(fields["file"], metadata) {
					return pir.UnpackFile
				}
				return pir.UnpackArchive
			},
		},
		Digests: []pir.HashAlgorithm{pir.SHA256},
		Doc: "`--file` is a pattern that selects a file of the release. Without it nuka takes the source archive.\n\n" +
			"```nu eval\nfetch pypi six 1.17.0 --file *.tar.gz --hash sha256-ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81\n```",
		Finds: "`PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`; `index-url` and `extra-index-url` of `PIP_CONFIG_FILE`, the virtual environment, the user, " +
			"the system; then pip's own index",
		Credentials: "in the index's address, or in netrc",
		Config:      &ConfigKind{"pypi", "PIP_", func(c *Client) Config { return c.pypi() }, func() Config { return new(PyPIConfig) }},
		Netrc:       true,
		Registry:    "Python index",
		Find: func(f *Fetcher, ctx context.Context, o Origin, _ pir.Hash, regs *Registries) ([]place, error) {
			return f.resolvePyPI(ctx, o, regs)
		},
		Upstreams: (*Fetcher).pypiUpstreams,
	}
}

func (p *PyPIConfig) anonymous() Config {
	out := &PyPIConfig{Index: withoutUser(p.Index)}
	for _, extra := range p.Extra {
		out.Extra = append(out.Extra, withoutUser(extra))
	}
	return out
}

// PyPIConfig is pip's configuration of package indexes: simple indexes (PEP 503), in order of precedence.
// A name and a password in an address are its credentials.
type PyPIConfig struct {
	Index string   `json:"index,omitempty"` // "" is pip's default
	Extra []string `json:"extra,omitempty"`
}

// pypi reads pip's configuration. It does not run pip.
func (c *Client) pypi() *PyPIConfig {
	files := []string{
		c.env("PIP_CONFIG_FILE"),
		first(below(c.env("VIRTUAL_ENV"), "pip.conf"), c.home(".nothing")),
		first(below(c.env("XDG_CONFIG_HOME"), "pip", "pip.conf"), c.home(".config", "pip", "pip.conf")),
		c.home("Library", "Application Support", "pip", "pip.conf"), c.home("AppData", "Roaming", "pip", "pip.ini"),
		c.home(".pip", "pip.conf"), c.system("etc", "xdg", "pip", "pip.conf"), c.system("etc", "pip.conf"),
	}
	lookup := func(key string) string {
		value := c.env("PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_")))
		for _, file := range files {
			if value != "" {
				break
			}
			set := continuedSettings(file)
			for _, section := range []string{"install.", "global."} {
				value = first(value, set[section+key], set[section+strings.ReplaceAll(key, "-", "_")])
			}
		}
		return value
	}
	p := &PyPIConfig{Index: strings.TrimSpace(lookup("index-url"))}
	p.Extra = strings.Fields(lookup("extra-index-url"))
	return p
}

// pypiIndexes returns the indexes to use.
func (f *Fetcher) pypiIndexes(ctx context.Context, p *PyPIConfig) ([]string, error) {
	base := p.Index
	for _, python := range []string{"python3", "python"} {
		if base == "" {
			base = f.o.Client.ask(ctx, python, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
		}
	}
	if base == "" {
		return nil, noRegistry("python package", `install pip, or write "index-url" below [global] in pip.conf, or set PIP_INDEX_URL`)
	}
	return append([]string{base}, p.Extra...), nil
}

// A pyLink is a file on an index.
type pyLink struct {
	name, version string
	source        bool
	place         place
}

func (f *Fetcher) resolvePyPI(ctx context.Context, o Origin, regs *Registries) ([]place, error) {
	indexes, err := f.pypiIndexes(ctx, configOf[PyPIConfig](regs, "pypi"))
	if err != nil {
		return nil, err
	}
	var links []pyLink
	var failure error
	for _, base := range indexes {
		more, err := f.pypiLinks(ctx, o, strings.TrimRight(base, "/")+"/"+pyversion.Name(o.Name)+"/", regs)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if failure == nil || protocol.CodeOf(failure) == protocol.NotFound {
				failure = err
			}
			continue
		}
		links = append(links, more...)
		if slices.ContainsFunc(more, func(l pyLink) bool { return pyversion.Same(l.version, o.Version) }) {
			break
		}
	}
	if len(links) == 0 && failure != nil {
		return nil, failure
	}
	return pickPyPI(o, links)
}

// pypiLinks returns a project's files on one index.
func (f *Fetcher) pypiLinks(ctx context.Context, o Origin, address string, regs *Registries) ([]pyLink, error) {
	at, err := regs.withLogin(place{url: address})
	if err != nil {
		return nil, err
	}
	asked := place{at.url, at.header.Clone()}
	if asked.header == nil {
		asked.header = http.Header{}
	}
	asked.header.Set("Accept", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1")
	body, final, err := f.getFrom(ctx, asked)
	if err != nil {
		return nil, err
	}
	var links []pyLink
	for _, target := range pyTargets(body, final) {
		names := []string{path.Base(target.url.Path), strings.TrimSpace(target.text)}
		for _, name := range names {
			version, isSource, ok := pyversion.File(name, pyversion.Name(o.Name))
			if !ok {
				continue
			}
			p, err := regs.withLogin(place{url: target.url.String()})
			if err != nil {
				return nil, err
			}
			if p.header == nil && sameHost(at.url, p.url) { // otherwise the index's credentials must not be sent
				p.header = at.header
			}
			if !slices.ContainsFunc(links, func(l pyLink) bool { return l.name == name }) {
				links = append(links, pyLink{name, version, isSource, p})
			}
			break
		}
	}
	return links, nil
}

// A pyTarget is a link on an index.
type pyTarget struct {
	url  *url.URL
	text string
}

// pyTargets reads an index in its JSON form (PEP 691) or as HTML, as browsers do.
func pyTargets(body []byte, at *url.URL) (out []pyTarget) {
	add := func(address, text string) {
		u, err := at.Parse(strings.TrimSpace(address))
		if err == nil && (u.Scheme == "https" || u.Scheme == "http") {
			u.Fragment = ""
			out = append(out, pyTarget{u, text})
		}
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) {
		var record struct {
			Files []struct{ Filename, URL string }
		}
		if json.Unmarshal(body, &record) == nil {
			for _, file := range record.Files {
				add(file.URL, file.Filename)
			}
		}
		return out
	}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(1 << 20)
	href, text, within, based := "", "", false, false
	finish := func() {
		if within && href != "" {
			add(href, text)
		}
		href, text, within = "", "", false
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			finish()
			return out
		case html.TextToken:
			if within {
				text += string(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if token.Data != "a" && token.Data != "base" {
				continue
			}
			target := ""
			for _, a := range token.Attr {
				if a.Key == "href" && target == "" {
					target = a.Val
				}
			}
			if token.Data == "base" {
				if base, err := at.Parse(target); err == nil && target != "" && !based {
					at, based = base, true
				}
				continue
			}
			finish()
			href, within = target, true
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == "a" {
				finish()
			}
		}
	}
}

// metadata is the ending of the file with the metadata of a wheel, beside the wheel on the index (PEP 658).
const metadata = ".metadata"

// pickPyPI picks the file that an origin selects.
func pickPyPI(o Origin, links []pyLink) ([]place, error) {
	var of []pyLink
	for _, l := range links {
		if pyversion.Same(l.version, o.Version) {
			of = append(of, l)
		}
	}
	if len(of) == 0 {
		return nil, noPyVersion(o, links)
	}
	var found []pyLink
	wheel, isMetadata := strings.CutSuffix(o.Flags["file"], metadata)
	if o.Flags["file"] != "" {
		for _, l := range of {
			if ok, err := path.Match(wheel, l.name); err == nil && ok && (!isMetadata || strings.HasSuffix(l.name, ".whl")) {
				if isMetadata {
					l.place.url += metadata
				}
				found = append(found, l)
			}
		}
	} else {
		for _, ending := range []string{".tar.gz", ".zip", ""} {
			for _, l := range of {
				if l.source && len(found) == 0 && strings.HasSuffix(l.name, ending) {
					found = append(found, l)
				}
			}
		}
	}
	var names []string
	for _, l := range of {
		names = append(names, l.name)
	}
	switch {
	case len(found) == 1:
		return []place{found[0].place}, nil
	case len(found) > 1:
		return nil, protocol.Errorf(protocol.Invalid, "%q matches %d files of %s %s", o.Flags["file"], len(found), o.Name, o.Version).
			WithHint("make --file match one of %s", strings.Join(names, ", "))
	}
	what := "no source archive"
	if o.Flags["file"] != "" {
		what = "no file that matches " + o.Flags["file"]
	}
	return nil, protocol.Errorf(protocol.NotFound, "%s %s has %s", o.Name, o.Version, what).
		WithHint("choose one with --file: %s", strings.Join(names, ", "))
}

// noPyVersion returns an error that lists the existing versions.
func noPyVersion(o Origin, links []pyLink) error {
	var all []pyversion.Version
	spelled := map[string]string{}
	for _, l := range links {
		if v, ok := pyversion.Parse(l.version); ok && spelled[v.Key()] == "" {
			spelled[v.Key()] = l.version
			all = append(all, v)
		}
	}
	slices.SortFunc(all, pyversion.Version.Compare)
	newest := ""
	var versions []string
	for _, v := range all {
		versions = append(versions, spelled[v.Key()])
		if v.Final() {
			newest = spelled[v.Key()]
		}
	}
	if newest == "" && len(versions) > 0 {
		newest = versions[len(versions)-1]
	}
	if o.Version == "latest" && newest != "" {
		return movingVersion(o, newest)
	}
	return noVersion(o, newest, versions)
}
