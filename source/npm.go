package source

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
)

// NPM is the kind of a package of an npm registry.
const NPM OriginKind = "npm"

func npmKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(NPM), About: "A package of the npm registry.", More: kind.Downloaded,
			Args: kind.Release("Its name, such as @scope/name."), Flags: kind.Archive(),
			Examples: []kind.Example{{Text: "fetch npm is-odd 3.0.1 --hash sha512-aaaa", About: "A package."}},
			Stripped: func(kind.Fields) int { return 1 },
		},
		Digests: []pir.HashAlgorithm{pir.SHA512},
		Doc:     "```nu eval\nfetch npm is-odd 3.0.1 --hash sha512-CQpnWPrDwmP1+SMHXZhtLtJv90yiyVfluGsX5iNCVkrhQtU3TQHsUWPG9wkdk9Lgd5yNpAg9jQEo90CBaXgWMA==\n```",
		Finds:   "`npm_config_registry`; `.npmrc` of the project, of the user (`NPM_CONFIG_USERCONFIG`), global (`NPM_CONFIG_GLOBALCONFIG`, the prefix, `/etc/npmrc`); then `npm config get registry`",
		Credentials: "`_authToken`, `_auth`, `username` with `_password`, for a host or a path; the longest path wins. `${NAME}` is a variable, " +
			"and `${NAME?}` is empty if the variable is not set. Otherwise an unset variable is an error, and nuka sends nothing",
		Check:    func(o Origin) error { return checkRelease(o, true) },
		Config:   &ConfigKind{"npm", "NPM_CONFIG_", func(c *Client) Config { return c.npm() }, func() Config { return new(NPMConfig) }},
		Registry: "npm registry",
		Find: func(f *Fetcher, ctx context.Context, o Origin, _ pir.Hash, regs *Registries) ([]place, error) {
			return f.resolveNPM(ctx, o, regs)
		},
		Upstreams: (*Fetcher).npmUpstreams,
	}
}

func (n *NPMConfig) anonymous() Config {
	out := &NPMConfig{Settings: map[string]string{}}
	for key, value := range n.Settings {
		if key == "registry" || strings.HasSuffix(key, ":registry") {
			out.Settings[key] = withoutUser(value)
		}
	}
	return out
}

// NPMConfig is npm's configuration of registries, from npmrc files and variables; nearer settings override others.
type NPMConfig struct {
	// Settings holds the keys about registries and credentials: registry, @scope:registry, //host/path/:_authToken, …
	Settings map[string]string `json:"settings,omitempty"`
}

// npmVariable matches ${NAME} or ${NAME?} in an npmrc file, with backslashes before it (@npmcli/config, env-replace.js).
var npmVariable = lazyregexp.New(`(\\*)\$\{([^${}?]+)(\?)?\}`)

// npmExpand expands variables in a text of an npmrc file. An unset variable stays unexpanded, or becomes "" if it has a question mark.
func (c *Client) npmExpand(text string) string {
	return npmVariable().ReplaceAllStringFunc(text, func(m string) string {
		parts := npmVariable().FindStringSubmatch(m)
		escapes, name, optional := parts[1], parts[2], parts[3] != ""
		if len(escapes)%2 == 1 {
			return m[(len(escapes)+1)/2:]
		}
		value := c.env(name)
		if value == "" && !optional {
			value = "${" + name + "}"
		}
		return escapes[:len(escapes)/2] + value
	})
}

// npmFiles lists the npmrc files in order of precedence.
func (c *Client) npmFiles() []string {
	files := []string{npmProject(c.Dir), first(c.env("NPM_CONFIG_USERCONFIG", "npm_config_userconfig"), c.home(".npmrc"))}
	if global := c.env("NPM_CONFIG_GLOBALCONFIG", "npm_config_globalconfig"); global != "" {
		return append(files, global)
	}
	if prefix := c.env("NPM_CONFIG_PREFIX", "npm_config_prefix"); prefix != "" {
		return append(files, filepath.Join(prefix, "etc", "npmrc"))
	}
	return append(files, c.system("usr", "local", "etc", "npmrc"), c.system("usr", "etc", "npmrc"), c.system("etc", "npmrc"))
}

// npmProject returns the npmrc file of the project that contains dir: the nearest folder that npm considers a project.
func npmProject(dir string) string {
	for ; dir != ""; dir = filepath.Dir(dir) {
		for _, sign := range []string{"package.json", "node_modules"} {
			if _, err := os.Stat(filepath.Join(dir, sign)); err == nil {
				return filepath.Join(dir, ".npmrc")
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return ""
}

// npm reads npm's configuration. It does not run npm.
func (c *Client) npm() *NPMConfig {
	n := &NPMConfig{Settings: map[string]string{}}
	if base := c.env("npm_config_registry", "NPM_CONFIG_REGISTRY"); base != "" {
		n.Settings["registry"] = base
	}
	for _, file := range c.npmFiles() {
		for key, value := range settings(file) {
			key = c.npmExpand(key)
			wanted := key == "registry" || strings.HasSuffix(key, ":registry") || strings.HasPrefix(key, "//") ||
				slices.Contains([]string{"_auth", "_authToken", "username", "_password"}, key)
			if _, known := n.Settings[key]; wanted && !known && value != "" {
				n.Settings[key] = c.npmExpand(npmValue(value))
			}
		}
	}
	return n
}

// npmValue drops a comment after a value, as npm's reader of ini files does.
func npmValue(value string) string {
	for i := range len(value) {
		if (value[i] == ';' || value[i] == '#') && (i == 0 || value[i-1] != '\\') {
			return strings.TrimSpace(value[:i])
		}
	}
	return value
}

// base returns the registry of a scope ("@scope" or ""), without a slash at its end, or "" if no setting names one.
func (n *NPMConfig) base(scope string) string {
	base := n.Settings["registry"]
	if scope != "" {
		base = first(n.Settings[scope+":registry"], base)
	}
	if !strings.HasPrefix(base, "http") {
		return ""
	}
	return strings.TrimRight(base, "/")
}

// header returns the credentials for an address: those of its longest configured prefix (npm-registry-fetch, auth.js).
// Credentials without an address belong to the registry without a scope.
func (n *NPMConfig) header(address string) (http.Header, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil
	}
	for at := "//" + u.Host + u.EscapedPath(); ; {
		for _, key := range []string{at + ":", strings.TrimRight(at, "/") + "/:"} {
			if header, err := n.login(key); header != nil || err != nil {
				return header, err
			}
		}
		at = strings.TrimRight(at, "/")
		cut := strings.LastIndex(at, "/")
		if cut < 2 {
			break
		}
		at = at[:cut]
	}
	if base := n.base(""); base != "" && sameHost(base, address) {
		return n.login("")
	}
	return nil, nil
}

// login returns the credentials in the keys with a prefix.
func (n *NPMConfig) login(prefix string) (http.Header, error) {
	authorize := func(kind, secret string) (http.Header, error) {
		if strings.Contains(secret, "${") {
			return nil, protocol.Errorf(protocol.Denied, "npm's setting %s names a variable that is not set", prefix).
				WithHint("set the variable that the npmrc file names")
		}
		return http.Header{"Authorization": {kind + " " + secret}}, nil
	}
	if token := n.Settings[prefix+"_authToken"]; token != "" {
		return authorize("Bearer", token)
	}
	if auth := n.Settings[prefix+"_auth"]; auth != "" {
		return authorize("Basic", auth)
	}
	user, secret := n.Settings[prefix+"username"], n.Settings[prefix+"_password"]
	if user == "" || secret == "" {
		return nil, nil
	}
	password, err := base64.StdEncoding.DecodeString(secret)
	if err != nil && !strings.Contains(secret, "${") {
		return nil, protocol.Errorf(protocol.Denied, "npm's setting %s_password is not in base64", prefix).
			WithHint("npm keeps passwords in base64 in its npmrc files")
	}
	if strings.Contains(secret, "${") {
		return authorize("Basic", secret)
	}
	return basicAuth(user, string(password)), nil
}

func basicAuth(user, password string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}}
}

// npmRecord is a registry's metadata of one version of a package.
type npmRecord struct {
	Version string
	Dist    struct{ Tarball string }
}

// packument is a registry's metadata of a package.
type packument struct {
	DistTags map[string]string `json:"dist-tags"`
	Versions map[string]npmRecord
}

// npmBase returns the registry of a scope, or that of npm itself if no setting names one.
func (f *Fetcher) npmBase(ctx context.Context, n *NPMConfig, scope string) (string, error) {
	base := n.base(scope)
	if base == "" {
		base = strings.TrimRight(f.o.Client.ask(ctx, "npm", "config", "get", "registry"), "/")
	}
	if !strings.HasPrefix(base, "http") {
		return "", noRegistry("npm", `install npm, or write "registry=<address>" in ~/.npmrc, or set NPM_CONFIG_REGISTRY`)
	}
	return base, nil
}

func (f *Fetcher) resolveNPM(ctx context.Context, o Origin, regs *Registries) ([]place, error) {
	scope := ""
	if strings.HasPrefix(o.Name, "@") {
		scope, _, _ = strings.Cut(o.Name, "/")
	}
	n := configOf[NPMConfig](regs, "npm")
	base, err := f.npmBase(ctx, n, scope)
	if err != nil {
		return nil, err
	}
	header, err := n.header(base + "/")
	if err != nil {
		return nil, err
	}
	record, err := f.npmRecord(ctx, o, base+"/"+strings.Replace(o.Name, "/", "%2f", 1), header)
	if err != nil {
		return nil, err
	}
	tarball, err := n.header(record.Dist.Tarball)
	if err != nil {
		return nil, err
	}
	if tarball == nil && sameHost(base, record.Dist.Tarball) { // otherwise the registry's credentials must not be sent
		tarball = header
	}
	return []place{{record.Dist.Tarball, tarball}}, nil
}

// npmRecord returns the metadata of one version: from its own address (npm registry API, "package version"),
// or from the metadata of the package, because some registries answer only that.
func (f *Fetcher) npmRecord(ctx context.Context, o Origin, address string, header http.Header) (*npmRecord, error) {
	var record npmRecord
	body, err := f.get(ctx, place{address + "/" + url.PathEscape(o.Version), header})
	if err == nil && json.Unmarshal(body, &record) == nil && record.Version == o.Version && record.Dist.Tarball != "" {
		return &record, nil
	}
	if err != nil && (statusOf(err) == 0 || protocol.CodeOf(err) == protocol.Denied || protocol.CodeOf(err) == protocol.Unavailable) {
		return nil, err
	}
	whole := header.Clone()
	if whole == nil {
		whole = http.Header{}
	}
	whole.Set("Accept", "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*")
	if body, err = f.get(ctx, place{address, whole}); err != nil {
		return nil, err
	}
	var all packument
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, protocol.Errorf(protocol.Unavailable, "npm registry: its answer about %s is not a record of a package", o.Name)
	}
	if record, ok := all.Versions[o.Version]; ok && record.Dist.Tarball != "" {
		return &record, nil
	}
	if now := all.DistTags[o.Version]; now != "" {
		return nil, movingVersion(o, now)
	}
	newest := all.DistTags["latest"]
	var versions []string
	for v := range all.Versions {
		versions = append(versions, v)
	}
	slices.SortFunc(versions, func(a, b string) int { return semver.Compare("v"+a, "v"+b) })
	if newest == "" && len(versions) > 0 {
		newest = versions[len(versions)-1]
	}
	return nil, noVersion(o, newest, versions)
}

// movingVersion refuses a dist-tag, which may name another version later.
func movingVersion(o Origin, now string) error {
	return protocol.Errorf(protocol.Invalid, "%s is not a version of %s: it means the version %s now, and can change", o.Version, o.Name, now).
		WithHint("write %s", now)
}

// noVersion returns an error that lists the existing versions. They are sorted, the newest one last.
func noVersion(o Origin, newest string, versions []string) error {
	if len(versions) == 0 {
		return protocol.Errorf(protocol.NotFound, "the registry has no %s %s", o.Name, o.Version).WithHint("check the name and the version")
	}
	slices.Reverse(versions)
	more := ""
	if len(versions) > maxVersions {
		versions, more = versions[:maxVersions], ", …"
	}
	return protocol.Errorf(protocol.NotFound, "the registry has no %s %s; the newest is %s", o.Name, o.Version, newest).
		WithHint("it has %s%s", strings.Join(versions, ", "), more)
}

// maxVersions bounds the versions that an error lists.
const maxVersions = 10
