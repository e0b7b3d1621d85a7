package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/module"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// resolve returns the addresses at which an origin's bytes are, in the order to try them.
// Of several files of a Debian source it picks the one with the digest want.
func (f *Fetcher) resolve(ctx context.Context, o Origin, want pir.Hash) ([]place, error) {
	switch o.Kind {
	case URL:
		return []place{{url: o.URL}}, nil
	case NPM:
		return f.resolveNPM(ctx, o)
	case PyPI:
		return f.resolvePyPI(ctx, o)
	case Crate:
		return f.resolveCrate(ctx, o)
	case Go:
		return f.resolveGo(ctx, o)
	case Deb, DebSrc:
		return f.resolveDebian(ctx, o, want)
	}
	return nil, fmt.Errorf("origin kind %q has no address", o.Kind)
}

func (f *Fetcher) resolveNPM(ctx context.Context, o Origin) ([]place, error) {
	scope := ""
	if strings.HasPrefix(o.Name, "@") {
		scope, _, _ = strings.Cut(o.Name, "/")
	}
	base, header, err := f.o.Client.npm(ctx, scope)
	if err != nil {
		return nil, err
	}
	// The registry's record of one version (npm registry API, "package version").
	body, err := f.get(ctx, place{base + "/" + strings.Replace(o.Name, "/", "%2f", 1) + "/" + url.PathEscape(o.Version), header})
	if err != nil {
		return nil, err
	}
	var record struct {
		Dist struct{ Tarball string }
	}
	if err := json.Unmarshal(body, &record); err != nil || record.Dist.Tarball == "" {
		return nil, protocol.Errorf(protocol.Unavailable, "npm registry: the answer about %s %s names no tarball", o.Name, o.Version)
	}
	if !sameHost(base, record.Dist.Tarball) {
		header = nil // credentials stay with the registry they are for
	}
	return []place{{record.Dist.Tarball, header}}, nil
}

func sameHost(a, b string) bool {
	ua, err := url.Parse(a)
	if err != nil {
		return false
	}
	ub, err := url.Parse(b)
	return err == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host
}

// hrefPattern finds the links of a simple index page (PEP 503).
var hrefPattern = regexp.MustCompile(`(?i)<a\s[^>]*href="([^"]+)"[^>]*>([^<]+)</a>`)

func (f *Fetcher) resolvePyPI(ctx context.Context, o Origin) ([]place, error) {
	base, err := f.o.Client.pypi(ctx)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(o.Name, "-")) // PEP 503
	index := base + "/" + name + "/"
	body, err := f.get(ctx, place{index, http.Header{"Accept": {"application/vnd.pypi.simple.v1+json, text/html;q=0.5"}}})
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	var record struct {
		Files []struct{ Filename, URL string }
	} // PEP 691
	if json.Unmarshal(body, &record) == nil {
		for _, file := range record.Files {
			files[file.Filename] = file.URL
		}
	} else {
		for _, m := range hrefPattern.FindAllStringSubmatch(string(body), -1) {
			files[strings.TrimSpace(m[2])] = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	return pickPyPI(o, name, index, files)
}

func pickPyPI(o Origin, name, index string, files map[string]string) ([]place, error) {
	wanted := []string{o.File}
	if o.File == "" {
		for _, n := range []string{o.Name, strings.ReplaceAll(name, "-", "_"), name} {
			wanted = append(wanted, n+"-"+o.Version+".tar.gz", n+"-"+o.Version+".zip")
		}
	}
	var at []place
	for _, glob := range wanted {
		for file, address := range files {
			if ok, err := path.Match(glob, file); err != nil || !ok || !strings.Contains(file, o.Version) {
				continue
			}
			u, err := url.Parse(index)
			if err == nil {
				u, err = u.Parse(address)
			}
			if err != nil {
				return nil, err
			}
			u.Fragment = ""
			at = append(at, place{url: u.String()})
		}
		if len(at) == 1 {
			return at, nil
		}
		if len(at) > 1 {
			return nil, protocol.Errorf(protocol.Invalid, "%q matches %d files of %s %s", glob, len(at), o.Name, o.Version).
				WithHint("make --file match one file")
		}
	}
	return nil, protocol.Errorf(protocol.NotFound, "no source archive of %s %s, or no file that matches", o.Name, o.Version).
		WithHint("name one of its files with --file, such as --file '*-any.whl'")
}

// crateDownload is config.json of a crate index (cargo's reference, "Index Format").
type crateDownload struct {
	DL string `json:"dl"`
}

func (f *Fetcher) resolveCrate(ctx context.Context, o Origin) ([]place, error) {
	addresses, contents, err := f.o.Client.crateIndexes(ctx, o.Name, o.Version)
	if err != nil {
		return nil, err
	}
	for _, address := range addresses {
		body, err := f.get(ctx, place{url: address})
		if err != nil {
			return nil, err
		}
		contents = append(contents, body)
	}
	var at []place
	for _, content := range contents {
		var conf crateDownload
		if err := json.Unmarshal(content, &conf); err == nil && conf.DL != "" {
			at = append(at, place{url: conf.address(o.Name, o.Version)})
		}
	}
	if len(at) == 0 {
		return nil, errors.New("the crate index does not say where crates are downloaded")
	}
	return at, nil
}

func (c crateDownload) address(name, version string) string {
	if !strings.Contains(c.DL, "{") {
		return strings.TrimRight(c.DL, "/") + "/" + name + "/" + version + "/download"
	}
	var prefix string
	switch len(name) {
	case 1, 2:
		prefix = fmt.Sprint(len(name))
	case 3:
		prefix = "3/" + name[:1]
	default:
		prefix = name[:2] + "/" + name[2:4]
	}
	return strings.NewReplacer("{crate}", name, "{version}", version,
		"{prefix}", prefix, "{lowerprefix}", strings.ToLower(prefix)).Replace(c.DL)
}

func (f *Fetcher) resolveGo(ctx context.Context, o Origin) ([]place, error) {
	proxies, err := f.o.Client.goProxies(ctx)
	if err != nil {
		return nil, err
	}
	escaped, err := module.EscapePath(o.Name)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "module %q: %v", o.Name, err)
	}
	version, err := module.EscapeVersion(o.Version)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "module version %q: %v", o.Version, err)
	}
	var at []place
	for _, proxy := range proxies {
		at = append(at, place{url: proxy + "/" + escaped + "/@v/" + version + ".zip"}) // go.dev/ref/mod#goproxy-protocol
	}
	return at, nil
}
