package source

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/MordragT/nuka/protocol"
)

// A Client is the user's configuration of the language and system package managers.
// Settings in the environment and in files are read first; where there are none, the client program itself is asked,
// because each knows a default of its own. The zero Client has no settings.
type Client struct {
	// Home is the user's home folder; "" reads no file of it.
	Home string
	// System is the folder below which system-wide settings are found (/etc/apt, /etc/npmrc, …), normally "/"; "" reads none.
	System string
	// Getenv looks up an environment variable; nil finds none.
	Getenv func(string) string
	// Run runs a client program and returns what it prints; nil asks none.
	Run func(ctx context.Context, argv ...string) (string, error)
}

func (c *Client) env(names ...string) string {
	for _, name := range names {
		if c.Getenv == nil {
			break
		}
		if v := c.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}

func (c *Client) home(elem ...string) string {
	if c.Home == "" {
		return ""
	}
	return filepath.Join(append([]string{c.Home}, elem...)...)
}

func (c *Client) system(elem ...string) string {
	if c.System == "" {
		return ""
	}
	return filepath.Join(append([]string{c.System}, elem...)...)
}

// RunClient is the usual Client.Run: it runs the program for a minute at the most.
func RunClient(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	return string(out), err
}

// ask runs a client program; what it cannot answer is "".
func (c *Client) ask(ctx context.Context, argv ...string) string {
	if c.Run == nil {
		return ""
	}
	out, err := c.Run(ctx, argv...)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

func noRegistry(what, setting string) error {
	return protocol.Errorf(protocol.Unavailable, "no %s registry is configured", what).WithHint("%s", setting)
}

// settings reads "key = value" lines of an ini-like file, with "[section]" before the key as "section.key".
func settings(path string) map[string]string {
	if path == "" {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	out, section := map[string]string{}, ""
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = strings.Trim(line, "[]") + "."
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		out[section+strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
	}
	return out
}

// npm returns the registry for a package's scope ("@scope" or ""), and the headers it wants.
func (c *Client) npm(ctx context.Context, scope string) (base string, header http.Header, err error) {
	files := []map[string]string{
		settings(first(c.env("NPM_CONFIG_USERCONFIG", "npm_config_userconfig"), c.home(".npmrc"))),
		settings(first(c.env("NPM_CONFIG_GLOBALCONFIG", "npm_config_globalconfig"), c.system("etc", "npmrc"))),
	}
	lookup := func(key string) string {
		for _, f := range files {
			if f[key] != "" {
				return f[key]
			}
		}
		return ""
	}
	if scope != "" {
		base = lookup(scope + ":registry")
	}
	base = first(base, c.env("npm_config_registry", "NPM_CONFIG_REGISTRY"), lookup("registry"))
	if base == "" {
		base = c.ask(ctx, "npm", "config", "get", "registry")
	}
	if !strings.HasPrefix(base, "http") {
		return "", nil, noRegistry("npm", `install npm, or write "registry=<address>" in ~/.npmrc, or set NPM_CONFIG_REGISTRY`)
	}
	base = strings.TrimRight(base, "/")
	_, address, _ := strings.Cut(base, ":")
	if token := lookup(address + "/:_authToken"); token != "" {
		header = http.Header{"Authorization": {"Bearer " + token}}
	}
	return base, header, nil
}

// pypi returns the address of the simple index (PEP 503).
func (c *Client) pypi(ctx context.Context) (string, error) {
	base := c.env("PIP_INDEX_URL")
	for _, file := range []string{
		c.env("PIP_CONFIG_FILE"), c.home(".config", "pip", "pip.conf"), c.home(".pip", "pip.conf"), c.system("etc", "pip.conf"),
	} {
		base = first(base, settings(file)["global.index-url"])
	}
	for _, python := range []string{"python3", "python"} {
		if base == "" {
			base = c.ask(ctx, python, "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
		}
	}
	if base == "" {
		return "", noRegistry("python package", `install pip, or write "index-url" below [global] in pip.conf, or set PIP_INDEX_URL`)
	}
	return strings.TrimRight(base, "/"), nil
}

// goProxies returns the module proxies in order.
func (c *Client) goProxies(ctx context.Context) ([]string, error) {
	list := first(c.env("GOPROXY"), settings(first(c.env("GOENV"), c.home(".config", "go", "env")))["GOPROXY"])
	if list == "" {
		list = c.ask(ctx, "go", "env", "GOPROXY")
	}
	var proxies []string
	for p := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == '|' }) {
		if strings.HasPrefix(p, "http") {
			proxies = append(proxies, strings.TrimRight(p, "/"))
		}
	}
	if len(proxies) == 0 {
		return nil, noRegistry("Go module", "install go, or set GOPROXY to the address of a module proxy")
	}
	return proxies, nil
}

// cargoConfig is the part of cargo's configuration that says where crates are.
type cargoConfig struct {
	Source map[string]struct {
		ReplaceWith string `toml:"replace-with"`
		Registry    string `toml:"registry"`
	} `toml:"source"`
}

// crateIndexes returns where a sparse index or its download folder is:
// addresses of a config.json, and contents of config.json files that cargo keeps.
func (c *Client) crateIndexes(ctx context.Context, name, version string) (addresses []string, contents [][]byte, err error) {
	home := first(c.env("CARGO_HOME"), c.home(".cargo"))
	for _, file := range []string{"config.toml", "config"} {
		var conf cargoConfig
		if home == "" {
			break
		}
		if _, err := toml.DecodeFile(filepath.Join(home, file), &conf); err != nil {
			continue
		}
		replacement := conf.Source[conf.Source["crates-io"].ReplaceWith]
		if address, ok := strings.CutPrefix(replacement.Registry, "sparse+"); ok {
			addresses = append(addresses, strings.TrimRight(address, "/")+"/config.json")
		}
	}
	if len(addresses) > 0 {
		return addresses, nil, nil
	}
	read := func() {
		matches, _ := fs.Glob(os.DirFS(first(home, ".nothing")), "registry/index/*/config.json")
		for _, m := range matches {
			if content, err := os.ReadFile(filepath.Join(home, m)); err == nil {
				contents = append(contents, content)
			}
		}
	}
	if read(); len(contents) == 0 {
		// Cargo writes down where its registry is when it is first asked for a crate.
		c.ask(ctx, "cargo", "info", "--quiet", name+"@"+version)
		read()
	}
	if len(contents) == 0 {
		return nil, nil, noRegistry("crate", "install cargo, or replace the source crates-io with a sparse registry in ~/.cargo/config.toml")
	}
	return nil, contents, nil
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
