package source

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/kind"
)

// Maven is the kind of a file in a repository with Maven's layout. The name of an origin is GROUP:ARTIFACT.
const Maven OriginKind = "maven"

func mavenKind() Kind {
	return Kind{
		Kind: kind.Kind{
			Name: string(Maven), About: "A file of a release in a Maven repository.", More: kind.Downloaded,
			Args:     kind.Release("The artifact, as GROUP:ARTIFACT."),
			Flags:    kind.Archive(kind.Param{Name: "file", Type: kind.String, About: "Which file of the release, such as junit-4.13.2.pom."}),
			Examples: []kind.Example{{Text: "fetch maven junit:junit 4.13.2 --hash sha256-aaaa", About: "The jar of a release."}},
			Unpacked: func(kind.Fields) pir.Unpack { return pir.UnpackFile },
		},
		Digests: []pir.HashAlgorithm{pir.SHA256, pir.SHA512},
		Doc: "Without `--file` nuka takes the jar, `ARTIFACT-VERSION.jar`. It keeps a jar as one file: `--unpack archive` unpacks it.\n\n" +
			"```nu eval\nfetch maven junit:junit 4.13.2 --hash sha256-8e495b634469d64fb8acfa3495a065cbacc8a0fff55ce1e31007be4c16dc57d3\n```",
		Finds: "`settings.xml` of the user (`~/.m2`), then of Maven (`MAVEN_HOME`, `/etc/maven`): mirrors, repositories of active profiles; " +
			"then the repository of Maven's own super-POM",
		Credentials: "`servers` of the settings: `username` and `password`, or `httpHeaders`, for the id of the mirror or the repository. Encrypted passwords are an error",
		Check:       checkMaven,
		Show:        func(o Origin) string { return "maven " + o.Name + " " + first(o.Flags["file"], o.Version) },
		Config:      &ConfigKind{"maven", "MAVEN_", func(c *Client) Config { return c.maven() }, func() Config { return new(MavenConfig) }},
		Registry:    "Maven repository",
		Nothing:     Origin{Name: "com.example:nuka-doctor", Version: "0"},
		Find: func(f *Fetcher, ctx context.Context, o Origin, _ pir.Hash, regs *Registries) ([]place, error) {
			return f.resolveMaven(ctx, o, regs)
		},
		Upstreams: (*Fetcher).mavenUpstreams,
	}
}

// MavenConfig is Maven's configuration of repositories, from its settings files; nearer settings come first.
type MavenConfig struct {
	Mirrors      []MavenPlace  `json:"mirrors,omitempty"`
	Repositories []MavenPlace  `json:"repositories,omitempty"` // of active profiles
	Servers      []MavenServer `json:"servers,omitempty"`
	Home         string        `json:"home,omitempty"` // the folder of Maven, with the jar that has its super-POM; "" is unknown
}

// A MavenPlace is a repository, or a mirror of the repositories that match Of.
type MavenPlace struct {
	ID  string `json:"id"  xml:"id"`
	URL string `json:"url" xml:"url"`
	Of  string `json:"of,omitempty" xml:"mirrorOf"`
}

// A MavenServer has the credentials for the mirror or the repository with the same ID.
type MavenServer struct {
	ID       string        `json:"id" xml:"id"`
	User     string        `json:"user,omitempty" xml:"username"`
	Password string        `json:"password,omitempty" xml:"password"`
	Headers  []MavenHeader `json:"headers,omitempty" xml:"configuration>httpHeaders>property"`
}

// A MavenHeader is a header of HTTP.
type MavenHeader struct {
	Name  string `json:"name" xml:"name"`
	Value string `json:"value" xml:"value"`
}

func (m *MavenConfig) anonymous() Config {
	out := &MavenConfig{Home: m.Home}
	for from, to := range map[*[]MavenPlace]*[]MavenPlace{&m.Mirrors: &out.Mirrors, &m.Repositories: &out.Repositories} {
		for _, p := range *from {
			p.URL = withoutUser(p.URL)
			*to = append(*to, p)
		}
	}
	return out
}

// A mavenSettings is settings.xml (maven.apache.org/settings.html).
type mavenSettings struct {
	Mirrors  []MavenPlace  `xml:"mirrors>mirror"`
	Servers  []MavenServer `xml:"servers>server"`
	Profiles []struct {
		ID     string       `xml:"id"`
		Active string       `xml:"activation>activeByDefault"`
		Places []MavenPlace `xml:"repositories>repository"`
	} `xml:"profiles>profile"`
	Active []string `xml:"activeProfiles>activeProfile"`
}

// mavenVariable matches ${env.NAME} in settings.
var mavenVariable = lazyregexp.New(`\$\{env\.([^}]+)\}`)

// maven reads Maven's settings. It does not run Maven.
func (c *Client) maven() *MavenConfig {
	out := &MavenConfig{Home: c.env("MAVEN_HOME", "M2_HOME")}
	files := []string{c.home(".m2", "settings.xml"), below(out.Home, "conf", "settings.xml"), c.system("etc", "maven", "settings.xml")}
	for _, file := range files {
		content, err := os.ReadFile(first(file, c.home(".nothing"), os.DevNull))
		if err != nil {
			continue
		}
		text := mavenVariable().ReplaceAllFunc(content, func(m []byte) []byte {
			value := c.env(string(mavenVariable().FindSubmatch(m)[1]))
			if value == "" {
				return m // as Maven does
			}
			var escaped bytes.Buffer
			_ = xml.EscapeText(&escaped, []byte(value)) // a buffer has no errors
			return escaped.Bytes()
		})
		var s mavenSettings
		if xml.Unmarshal(text, &s) != nil {
			continue
		}
		out.Mirrors, out.Servers = append(out.Mirrors, s.Mirrors...), append(out.Servers, s.Servers...)
		for _, p := range s.Profiles {
			if strings.TrimSpace(p.Active) == "true" || slices.Contains(s.Active, p.ID) {
				out.Repositories = append(out.Repositories, p.Places...)
			}
		}
	}
	return out
}

// matches reports whether a mirror stands for a repository (maven.apache.org/guides/mini/guide-mirror-settings.html). All repositories are external here.
func (p MavenPlace) matches(id string) (matches bool) {
	for pattern := range strings.SplitSeq(p.Of, ",") {
		switch pattern = strings.TrimSpace(pattern); pattern {
		case "!" + id:
			return false
		case "*", "external:*", id:
			matches = true
		}
	}
	return matches
}

// mirrored returns the place at which Maven finds a repository: a mirror with its very id comes before patterns.
func (m *MavenConfig) mirrored(p MavenPlace) MavenPlace {
	for _, mirror := range m.Mirrors {
		if mirror.Of == p.ID {
			return mirror
		}
	}
	for _, mirror := range m.Mirrors {
		if mirror.matches(p.ID) {
			return mirror
		}
	}
	return p
}

// place returns a repository's address with its credentials.
func (m *MavenConfig) place(p MavenPlace) (place, error) {
	at, err := (&Registries{}).withLogin(place{url: strings.TrimRight(strings.TrimSpace(p.URL), "/")})
	i := slices.IndexFunc(m.Servers, func(s MavenServer) bool { return s.ID == p.ID })
	if err != nil || i < 0 {
		return at, err
	}
	s := m.Servers[i]
	for _, text := range []string{s.User, s.Password} {
		if strings.HasPrefix(text, "{") && strings.HasSuffix(text, "}") || strings.Contains(text, "${env.") {
			return at, protocol.Errorf(protocol.Denied, "maven's settings: the server %q has an encrypted password, or names a variable that is not set", s.ID).
				WithHint("write the password as ${env.NAME} into settings.xml, and set that variable")
		}
	}
	if s.User != "" {
		at.header = addHeader(at.header, basicAuth(s.User, s.Password))
	}
	for _, h := range s.Headers {
		if h.Name != "" {
			at.header = addHeader(at.header, http.Header{http.CanonicalHeaderKey(h.Name): {h.Value}})
		}
	}
	return at, nil
}

// superPOM is the name of Maven's own POM in one of its jars.
const superPOM = "org/apache/maven/model/pom-4.0.0.xml"

// mavenOwn returns the repositories of Maven's super-POM, from the jar in its folder that has it.
func (f *Fetcher) mavenOwn(ctx context.Context, home string) []MavenPlace {
	if home == "" {
		for line := range strings.Lines(f.o.Client.ask(ctx, "mvn", "-version")) {
			if _, text, ok := strings.Cut(line, "Maven home: "); ok { // control sequences for colours may be before it
				home = strings.TrimSpace(text)
			}
		}
	}
	jars, _ := filepath.Glob(filepath.Join(first(home, ".nothing"), "lib", "maven-model-builder*.jar"))
	others, _ := filepath.Glob(filepath.Join(first(home, ".nothing"), "lib", "maven-*.jar"))
	for _, jar := range append(jars, others...) {
		z, err := zip.OpenReader(jar)
		if err != nil {
			continue
		}
		text := []byte(nil)
		if file, err := z.Open(superPOM); err == nil {
			text, _ = io.ReadAll(io.LimitReader(file, 1<<20))
			file.Close()
		}
		z.Close()
		var pom struct {
			Places []MavenPlace `xml:"repositories>repository"`
		}
		if xml.Unmarshal(text, &pom) == nil && len(pom.Places) > 0 {
			return pom.Places
		}
	}
	return nil
}

// mavenPlaces returns the repositories to ask, in order: those of active profiles, then those of the super-POM. Each is there once.
func (f *Fetcher) mavenPlaces(ctx context.Context, m *MavenConfig) (out []MavenPlace, err error) {
	all := slices.Clone(m.Repositories)
	own := []MavenPlace{{ID: "central"}} // its id in every super-POM; if a mirror stands for it, Maven need not be asked
	if m.mirrored(own[0]).URL == "" {
		own = f.mavenOwn(ctx, m.Home)
	}
	all = append(all, own...)
	for _, p := range all {
		at := m.mirrored(p)
		if strings.HasPrefix(at.URL, "http") && !slices.ContainsFunc(out, func(q MavenPlace) bool { return q.URL == at.URL }) {
			out = append(out, at)
		}
	}
	if len(out) == 0 {
		return nil, noRegistry("Maven", "install maven, or write a mirror of * into ~/.m2/settings.xml")
	}
	return out, nil
}

func (f *Fetcher) mavenUpstreams(ctx context.Context, regs *Registries) (out []Upstream, err error) {
	m := configOf[MavenConfig](regs, "maven")
	places, err := f.mavenPlaces(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		at, err := m.place(p)
		if err != nil {
			return nil, err
		}
		out = append(out, Upstream{Kind: Maven, URL: at.url, Header: at.header})
	}
	return out, nil
}
