package source

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/mod/semver"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
)

// Crate is the kind of a crate of a Rust registry.
const Crate OriginKind = "crate"

func crateKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Crate), About: "A crate of the Rust registry.", More: kind.Downloaded,
			Args: kind.Release("The crate."), Flags: kind.Archive(),
			Examples: []kind.Example{{Text: "fetch crate libz-sys 1.1.20 --hash sha256-aaaa", About: "A crate."}},
			Stripped: func(kind.Fields) int { return 1 },
		},
		Digests: []pir.HashAlgorithm{pir.SHA256},
		Doc:     "```nu eval\nfetch crate libz-sys 1.1.20 --hash sha256-d2d16453e800a8cf6dd2fc3eb4bc99b786a9b90c663b8559a5b1a041bf89e472\n```",
		Finds: "`.cargo/config.toml` of the folders above, of `CARGO_HOME`: `replace-with`, also in chains; `[registries]`, " +
			"`CARGO_REGISTRIES_NAME_INDEX`; then what cargo keeps of its own registry",
		Credentials: "`credentials.toml`, `CARGO_REGISTRY_TOKEN`, `CARGO_REGISTRIES_NAME_TOKEN`",
		Config:      &ConfigKind{"cargo", "CARGO_REGISTR", func(c *Client) Config { return c.cargo() }, func() Config { return new(CargoConfig) }},
		Registry:    "crate registry",
		Find: func(f *Fetcher, ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error) {
			return f.resolveCrate(ctx, o, want, regs)
		},
		Upstreams: (*Fetcher).crateUpstreams,
	}
}

func (c *CargoConfig) anonymous() Config {
	out := *c
	out.Index, out.Token = withoutUser(out.Index), ""
	out.Registries = slices.Clone(out.Registries)
	for i := range out.Registries {
		r := &out.Registries[i]
		r.Index, r.Token = withoutUser(r.Index), ""
	}
	return &out
}

// CargoConfig is cargo's configuration of registries.
type CargoConfig struct {
	Home  string `json:"home,omitempty"`  // cargo's home folder, with the cache of its own registry
	Index string `json:"index,omitempty"` // a sparse index; "" is cargo's default
	Token string `json:"token,omitempty"` // for the index and its crates
	// Problem is the reason why nuka cannot fetch crates from cargo's source; "" if it can.
	Problem string `json:"problem,omitempty"`
	// Others are the hosts of registries other than the default source of crates.
	Others []string `json:"others,omitempty"`
	// Registries are those with a name and a sparse index, beside Index, sorted by name.
	Registries []CargoRegistry `json:"registries,omitempty"`
}

// A CargoRegistry is a registry that packages name, beside that of their other crates: [registries.NAME].
type CargoRegistry struct {
	Name  string `json:"name"`
	Index string `json:"index"`
	Token string `json:"token,omitempty"`
}

// A cargoFile is the part of cargo's configuration and credentials that concerns registries.
type cargoFile struct {
	Source map[string]struct {
		ReplaceWith   string `toml:"replace-with"`
		Registry      string `toml:"registry"`
		LocalRegistry string `toml:"local-registry"`
		Directory     string `toml:"directory"`
		Git           string `toml:"git"`
	} `toml:"source"`
	Registries map[string]struct {
		Index string `toml:"index"`
		Token string `toml:"token"`
	} `toml:"registries"`
	Registry struct {
		Token string `toml:"token"`
	} `toml:"registry"`
}

// cargoFiles lists cargo's files of a name, in order of precedence: those of the folders above, then the user's.
func (c *Client) cargoFiles(home, name string) (files []string) {
	var folders []string
	for dir := c.Dir; dir != ""; dir = filepath.Dir(dir) {
		folders = append(folders, filepath.Join(dir, ".cargo"))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, folder := range append(folders, home) {
		if folder != "" {
			files = append(files, filepath.Join(folder, name), filepath.Join(folder, name+".toml"))
		}
	}
	return files
}

// cargo reads cargo's configuration files. It does not run cargo.
func (c *Client) cargo() *CargoConfig {
	home := first(c.env("CARGO_HOME"), c.home(".cargo"))
	out := &CargoConfig{Home: home}
	var files []cargoFile
	for _, name := range []string{"config", "credentials"} {
		for _, path := range c.cargoFiles(home, name) {
			var conf cargoFile
			if _, err := toml.DecodeFile(path, &conf); err == nil {
				files = append(files, conf)
			}
		}
	}
	name, seen := "crates-io", map[string]bool{}
	for {
		if seen[name] {
			out.Problem = fmt.Sprintf("the source %q is replaced with itself", name)
			return out
		}
		seen[name] = true
		next := ""
		for _, conf := range files {
			source := conf.Source[name]
			out.Index = first(out.Index, source.Registry, conf.Registries[name].Index)
			if other := first(source.LocalRegistry, source.Directory, source.Git); other != "" {
				out.Problem = fmt.Sprintf("the source %q is the folder or repository %s", name, other)
			}
			next = first(next, source.ReplaceWith)
		}
		out.Index = first(out.Index, c.env("CARGO_REGISTRIES_"+cargoEnv(name)+"_INDEX"))
		if next == "" {
			break
		}
		name, out.Index, out.Problem = next, "", ""
	}
	if name == "crates-io" {
		out.Token = c.env("CARGO_REGISTRY_TOKEN")
	}
	out.Token = first(out.Token, c.env("CARGO_REGISTRIES_"+cargoEnv(name)+"_TOKEN"))
	for _, conf := range files {
		out.Token = first(out.Token, conf.Registries[name].Token)
		if name == "crates-io" {
			out.Token = first(out.Token, conf.Registry.Token)
		}
	}
	for _, conf := range files { // a source that is not a named registry has the token of the registry with the same address
		for _, registry := range conf.Registries {
			if registry.Index == out.Index && out.Index != "" {
				for _, secrets := range files {
					for other, r := range secrets.Registries {
						if conf.Registries[other].Index == out.Index {
							out.Token = first(out.Token, r.Token)
						}
					}
				}
			} else if u, err := url.Parse(strings.TrimPrefix(registry.Index, "sparse+")); err == nil && u.Hostname() != "" {
				out.Others = append(out.Others, u.Hostname())
			}
		}
	}
	out.Registries = c.cargoRegistries(files, out.Index)
	sparse, isSparse := strings.CutPrefix(out.Index, "sparse+")
	switch {
	case out.Problem != "":
	case isSparse:
		out.Index = strings.TrimRight(sparse, "/")
	case out.Index != "":
		out.Problem = fmt.Sprintf("the index of %q is a git repository, %s", name, shownText(out.Index))
	}
	return out
}

// cargoRegistries returns the registries of cargo's files, without that of an index. Those with a git index are left out.
func (c *Client) cargoRegistries(files []cargoFile, own string) (out []CargoRegistry) {
	named := map[string]CargoRegistry{}
	for _, conf := range files {
		for name, registry := range conf.Registries {
			r := named[name]
			if r.Name == "" {
				r = CargoRegistry{name, c.env("CARGO_REGISTRIES_" + cargoEnv(name) + "_INDEX"), c.env("CARGO_REGISTRIES_" + cargoEnv(name) + "_TOKEN")}
			}
			r.Index, r.Token = first(r.Index, registry.Index), first(r.Token, registry.Token)
			named[name] = r
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		r := named[name]
		sparse, ok := strings.CutPrefix(r.Index, "sparse+")
		if ok && strings.TrimRight(r.Index, "/") != strings.TrimRight(own, "/") {
			r.Index = strings.TrimRight(sparse, "/")
			out = append(out, r)
		}
	}
	return out
}

// cargoEnv returns a registry's name in the form used in variables.
func cargoEnv(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }

// crateConfigs returns the config.json files in cargo's cache of its own registry.
func (f *Fetcher) crateConfigs(ctx context.Context, c *CargoConfig, name, version string) (contents [][]byte) {
	read := func() {
		matches, _ := fs.Glob(os.DirFS(first(c.Home, ".nothing")), "registry/index/*/config.json")
		for _, m := range matches {
			folder := filepath.Base(filepath.Dir(m))
			if slices.ContainsFunc(c.Others, func(host string) bool { return strings.HasPrefix(folder, host+"-") }) {
				continue
			}
			if content, err := os.ReadFile(filepath.Join(c.Home, m)); err == nil {
				contents = append(contents, content)
			}
		}
	}
	if read(); len(contents) == 0 && c.Home != "" {
		// Cargo records the address of its registry when it first looks up a crate.
		f.o.Client.ask(ctx, "cargo", "info", "--quiet", name+"@"+version)
		read()
	}
	return contents
}

// crateDownload is config.json of a crate index (cargo's reference, "Index Format").
type crateDownload struct {
	DL string `json:"dl"`
}

// crateLine is a line of a crate's file in an index.
type crateLine struct {
	Vers  string
	Cksum string
}

// crateSetting is the hint if there is no registry.
const crateSetting = "install cargo, or replace the source crates-io with a sparse registry in ~/.cargo/config.toml"

func cargoProblem(c *CargoConfig) error {
	return protocol.Errorf(protocol.Unavailable, "cargo's configuration: %s", c.Problem).
		WithHint("nuka takes crates from sparse registries: write one, sparse+https://…, in cargo's configuration")
}

func (f *Fetcher) resolveCrate(ctx context.Context, o Origin, want pir.Hash, regs *Registries) ([]place, error) {
	c := configOf[CargoConfig](regs, "cargo")
	if c.Problem != "" {
		return nil, cargoProblem(c)
	}
	checksum := ""
	if want.Algorithm == pir.SHA256 {
		checksum = hex.EncodeToString(want.Digest())
	}
	var header http.Header
	if c.Token != "" {
		header = http.Header{"Authorization": {c.Token}}
	}
	var contents [][]byte
	if c.Index != "" {
		body, err := f.get(ctx, place{c.Index + "/config.json", header})
		if err != nil {
			return nil, err
		}
		contents = append(contents, body)
		if checksum, err = f.crateChecksum(ctx, o, c.Index, header); err != nil {
			return nil, err
		}
	} else if contents = f.crateConfigs(ctx, c, o.Name, o.Version); len(contents) == 0 {
		return nil, noRegistry("crate", crateSetting)
	}
	var at []place
	for _, content := range contents {
		var conf crateDownload
		if err := json.Unmarshal(content, &conf); err == nil && conf.DL != "" {
			address, err := conf.address(o.Name, o.Version, checksum)
			if err != nil {
				return nil, err
			}
			p := place{url: address}
			if sameHost(c.Index, address) {
				p.header = header
			}
			at = append(at, p)
		}
	}
	if len(at) == 0 {
		return nil, errors.New("the crate index has no address for downloads")
	}
	return at, nil
}

// crateChecksum returns the SHA-256 of a crate's archive in hexadecimal, from the index. It fails for a version that the index does not have.
func (f *Fetcher) crateChecksum(ctx context.Context, o Origin, index string, header http.Header) (string, error) {
	name := strings.ToLower(o.Name)
	body, err := f.get(ctx, place{index + "/" + cratePrefix(name) + "/" + name, header})
	if err != nil {
		return "", err
	}
	var versions []string
	for line := range bytes.Lines(body) {
		var l crateLine
		if json.Unmarshal(line, &l) != nil || l.Vers == "" {
			continue
		}
		if l.Vers == o.Version {
			return l.Cksum, nil
		}
		versions = append(versions, l.Vers)
	}
	slices.SortFunc(versions, func(a, b string) int { return semver.Compare("v"+a, "v"+b) })
	newest := newestRelease(versions)
	if o.Version == "latest" && newest != "" {
		return "", movingVersion(o, newest)
	}
	return "", noVersion(o, newest, versions)
}

// newestRelease returns the last of some sorted versions that is not a pre-release, or else the last one.
func newestRelease(sorted []string) string {
	for _, v := range slices.Backward(sorted) {
		if semver.Prerelease("v"+strings.TrimPrefix(v, "v")) == "" {
			return v
		}
	}
	if len(sorted) == 0 {
		return ""
	}
	return sorted[len(sorted)-1]
}

// cratePrefix returns the folder of a crate in an index.
func cratePrefix(name string) string {
	switch len(name) {
	case 1, 2:
		return fmt.Sprint(len(name))
	case 3:
		return "3/" + name[:1]
	}
	return name[:2] + "/" + name[2:4]
}

func (c crateDownload) address(name, version, checksum string) (string, error) {
	if !strings.Contains(c.DL, "{") {
		return strings.TrimRight(c.DL, "/") + "/" + name + "/" + version + "/download", nil
	}
	if strings.Contains(c.DL, "{sha256-checksum}") && checksum == "" {
		return "", protocol.Errorf(protocol.Unavailable, "the registry finds crates by their checksum, and nuka has none for %s %s", name, version).
			WithHint("write the crate's --hash sha256-…, or the registry's sparse+ address in ~/.cargo/config.toml")
	}
	prefix := cratePrefix(name)
	return strings.NewReplacer("{crate}", name, "{version}", version, "{prefix}", prefix,
		"{lowerprefix}", cratePrefix(strings.ToLower(name)), "{sha256-checksum}", checksum).Replace(c.DL), nil
}
