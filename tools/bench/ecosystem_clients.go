package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A client is a package manager with two projects. The second one has the dependencies of the first one and about a tenth more.
type client struct {
	name, adapter string
	missing       string // why it is left out
	// env has folders of its own for the manager, and no questions that are not about packages.
	env func(p *place) []string
	// lock writes a project and has the manager lock it. With more, the first project is in place.
	lock func(p *place, more bool) error
	// install is the command that is measured.
	install func(p *place) []string
	// fill completes the place whose cache is used without network; nil: an install has filled it.
	fill    func(warm *place) error
	offline []offline
}

// An offline is a manager's own way to install without network.
type offline struct {
	name   string
	args   func(p *place) []string // added to the install
	env    func(p *place) []string // nil: none
	before func(p *place) error    // not measured; nil: nothing
	judged bool                    // the target is about it
}

func flags(list ...string) func(*place) []string {
	return func(*place) []string { return list }
}

// use has the client use the warm cache itself.
func use(p *place) error {
	p.cache = p.warm.cache
	return nil
}

// steps runs commands in a place.
func (p *place) steps(c *client, commands ...[]string) error {
	for _, args := range commands {
		if _, err := p.task(c, args...).measure(); err != nil {
			return err
		}
	}
	return nil
}

func (p *place) write(name, text string) error {
	return os.WriteFile(filepath.Join(p.project, name), []byte(text), 0o644)
}

func (b *bench) clients() []*client {
	list := []*client{b.pip(), b.uv(), npmClient(), cargoClient(), goClient(), mavenClient()}
	for _, c := range list {
		programs := map[string]string{"npm": "npm", "cargo": "cargo", "go": "go", "Maven": "mvn"}
		if program := programs[c.name]; program != "" {
			if _, err := exec.LookPath(program); err != nil {
				c.missing = program + " is not installed"
			}
		}
	}
	return list
}

const (
	requirements     = "requests\nrich\nhttpx\njinja2\npyyaml\nclick\nattrs\npackaging\npython-dateutil\n" // 22 with theirs
	moreRequirements = "tabulate\ntoolz\n"
)

// pip writes requirements with exact versions, all of them, as pip freeze does.
func (b *bench) pip() *client {
	python := filepath.Join(b.python, "bin", "python")
	c := &client{name: "pip", adapter: "pip"}
	if b.python == "" {
		c.missing = "no environment with pip and uv was given (-python)"
	}
	c.env = func(p *place) []string {
		return []string{"PIP_CACHE_DIR=" + p.cache, "PIP_FIND_LINKS=", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1"}
	}
	c.install = func(p *place) []string {
		return []string{python, "-m", "pip", "install", "-q", "--target", p.target, "-r", "requirements.txt"}
	}
	c.lock = func(p *place, more bool) error { return p.freeze(c, python, more) }
	c.fill = func(warm *place) error {
		return warm.steps(c, []string{python, "-m", "pip", "download", "-q", "-d", filepath.Join(warm.setup, "wheels"), "-r", "requirements.txt"})
	}
	c.offline = []offline{{name: "pip --no-index, wheels in a folder", judged: true, args: wheels}}
	return c
}

func wheels(p *place) []string {
	return []string{"--no-index", "--find-links", filepath.Join(p.warm.setup, "wheels")}
}

// freeze writes requirements.txt with the newest versions.
func (p *place) freeze(c *client, python string, more bool) error {
	wanted := requirements
	if more {
		had, err := os.ReadFile(filepath.Join(p.project, "requirements.txt"))
		if err != nil {
			return err
		}
		wanted = string(had) + moreRequirements
	}
	if err := p.write("requirements.txt", wanted); err != nil {
		return err
	}
	if err := p.steps(c, []string{python, "-m", "pip", "install", "-q", "--target", p.target, "-r", "requirements.txt"}); err != nil {
		return err
	}
	s, err := p.task(c, python, "-m", "pip", "freeze", "--path", p.target).measure()
	if err != nil {
		return err
	}
	return p.write("requirements.txt", s.out)
}

// uv installs the requirements of pip.
func (b *bench) uv() *client {
	c := b.pip()
	python, uv := filepath.Join(b.python, "bin", "python"), filepath.Join(b.python, "bin", "uv")
	c.name = "uv"
	if _, err := exec.LookPath(uv); err != nil && c.missing == "" {
		c.missing = "pip could not install it"
	}
	alone := c.env
	c.env = func(p *place) []string {
		return append(alone(p), "UV_CACHE_DIR="+p.cache, "UV_FIND_LINKS=", "UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1")
	}
	c.install = func(p *place) []string {
		return []string{uv, "pip", "install", "-q", "--python", python, "--target", p.target, "-r", "requirements.txt"}
	}
	c.offline = []offline{
		{name: "uv --offline, cache unpacked", judged: true, args: flags("--offline"), before: use},
		{name: "uv --no-index, wheels in a folder", args: wheels},
	}
	return c
}

// npmClient installs by a lock file, as npm ci does.
func npmClient() *client {
	c := &client{name: "npm", adapter: "npm"}
	c.env = func(p *place) []string {
		return []string{"npm_config_cache=" + p.cache, "npm_config_audit=false", "npm_config_fund=false", "npm_config_update_notifier=false"}
	}
	c.install = func(*place) []string { return []string{"npm", "ci", "--silent"} }
	c.lock = func(p *place, more bool) error {
		add := []string{"express", "chalk", "yargs"}
		if more {
			add = []string{"commander", "semver", "uuid", "picocolors", "nanoid", "dotenv", "dayjs"}
		} else if err := p.write("package.json", `{"name": "bench", "version": "1.0.0", "private": true}`); err != nil {
			return err
		}
		return p.steps(c, append([]string{"npm", "install", "--package-lock-only", "--silent"}, add...))
	}
	c.offline = []offline{{name: "npm ci --offline", judged: true, args: flags("--offline"), before: use}}
	return c
}

// cargoClient downloads and unpacks crates by a lock file. It compiles nothing.
func cargoClient() *client {
	c := &client{name: "cargo", adapter: "cargo"}
	c.env = func(p *place) []string { return []string{"CARGO_HOME=" + p.cache} }
	c.install = func(*place) []string { return []string{"cargo", "fetch", "--quiet", "--locked"} }
	c.lock = func(p *place, more bool) error {
		toml := "[package]\nname = \"bench\"\nversion = \"1.0.0\"\nedition = \"2021\"\n\n[dependencies]\n"
		names := "serde serde_json anyhow thiserror itoa ryu bitflags cfg-if once_cell log regex clap bytes indexmap smallvec either"
		if more {
			names += " fnv hex semver"
		}
		for name := range strings.FieldsSeq(names) {
			toml += name + " = \"*\"\n"
		}
		if err := os.MkdirAll(filepath.Join(p.project, "src"), 0o755); err != nil {
			return err
		}
		if err := p.write("src/lib.rs", ""); err != nil {
			return err
		}
		if err := p.write("Cargo.toml", toml); err != nil {
			return err
		}
		return p.steps(c, []string{"cargo", "generate-lockfile", "--quiet"})
	}
	unpack := func(p *place) error {
		remove(filepath.Join(p.warm.cache, "registry", "src"))
		return use(p)
	}
	c.offline = []offline{
		{name: "cargo --offline, nothing to unpack", judged: true, args: flags("--offline"), before: use},
		{name: "cargo --offline, crates to unpack", args: flags("--offline"), before: unpack},
	}
	return c
}

// goClient downloads the modules of a go.mod with its go.sum.
func goClient() *client {
	c := &client{name: "go", adapter: "go"}
	c.env = func(p *place) []string {
		return []string{"GOMODCACHE=" + p.cache, "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOWORK=off"}
	}
	c.install = func(*place) []string { return []string{"go", "mod", "download"} }
	c.lock = func(p *place, more bool) error {
		names := []string{"spf13/cobra", "stretchr/testify", "google/uuid", "pkg/errors", "fatih/color", "google/go-cmp", "gorilla/mux", "sirupsen/logrus", "BurntSushi/toml", "fsnotify/fsnotify",
			"mattn/go-runewidth", "hashicorp/golang-lru", "cespare/xxhash/v2", "dustin/go-humanize", "julienschmidt/httprouter"}
		if more {
			names = []string{"google/shlex", "kballard/go-shellquote"}
		} else if err := p.write("go.mod", "module example.org/bench\n\ngo 1.24\n"); err != nil {
			return err
		}
		get := []string{"go", "get"}
		for _, name := range names {
			get = append(get, "github.com/"+name+"@latest")
		}
		return p.steps(c, get, []string{"go", "mod", "download", "all"})
	}
	c.offline = []offline{
		{name: "go with GOPROXY=off, nothing to unpack", judged: true, args: flags(), before: use, env: flags("GOPROXY=off", "GOSUMDB=off")},
		{name: "go with GOPROXY=file://", args: flags(), env: func(p *place) []string {
			return []string{"GOPROXY=file://" + filepath.Join(p.warm.cache, "cache", "download"), "GOSUMDB=off"}
		}},
	}
	return c
}

// mavenClient resolves the dependencies of a POM.
func mavenClient() *client {
	c := &client{name: "Maven", adapter: "maven"}
	c.env = func(p *place) []string { return []string{"MAVEN_OPTS=-Dmaven.repo.local=" + p.cache} }
	c.install = func(*place) []string {
		return []string{"mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:resolve"}
	}
	c.lock = func(p *place, more bool) error {
		names := "com.google.guava:guava:33.0.0-jre org.apache.commons:commons-lang3:3.14.0 com.fasterxml.jackson.core:jackson-databind:2.16.1 org.slf4j:slf4j-api:2.0.11 " +
			"ch.qos.logback:logback-classic:1.4.14 commons-io:commons-io:2.15.1 commons-codec:commons-codec:1.16.0 com.google.code.gson:gson:2.10.1 " +
			"org.apache.httpcomponents.client5:httpclient5:5.3 org.junit.jupiter:junit-jupiter:5.10.1 org.yaml:snakeyaml:2.2"
		if more {
			names += " commons-cli:commons-cli:1.6.0 org.apache.commons:commons-csv:1.10.0"
		}
		var list strings.Builder
		for name := range strings.FieldsSeq(names) {
			part := strings.Split(name, ":")
			fmt.Fprintf(&list, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n", part[0], part[1], part[2])
		}
		return p.write("pom.xml", "<project><modelVersion>4.0.0</modelVersion><groupId>org.example</groupId><artifactId>bench</artifactId><version>1</version>"+
			"<packaging>pom</packaging>\n<dependencies>\n"+list.String()+"</dependencies></project>\n")
	}
	mirror := func(p *place) error {
		return os.WriteFile(filepath.Join(p.setup, "settings.xml"), []byte("<settings><mirrors><mirror><id>warm</id><mirrorOf>*</mirrorOf><url>file://"+p.warm.cache+"</url></mirror></mirrors></settings>"), 0o644)
	}
	c.offline = []offline{
		{name: "mvn -o, nothing to copy", judged: true, args: flags("-o"), before: use},
		{name: "mvn with a mirror file://", before: mirror, args: func(p *place) []string { return []string{"-s", filepath.Join(p.setup, "settings.xml")} }},
	}
	return c
}
