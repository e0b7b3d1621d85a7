// Package maven is the adapter for Maven and repositories in its layout (maven.apache.org/repository/layout.html).
//
// Maven has no variable for a repository either, but two ways to another settings file: MAVEN_ARGS (since 3.9), and the property maven.conf, the folder of
// the global settings. Setup uses both. In it a mirror stands for all repositories, also those that a POM names; with DoorProxy a POM's repositories are
// asked at their own addresses.
//
// POMs, jars and modules have a hash beside them (.sha1), see Proof. Indexes (maven-metadata.xml) have one, too, which does not fit after a Change: Maven
// warns about that, or about its absence, and goes on. The release of a version is the time at which its POM was last changed, if the server says it.
package maven

import (
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
)

// Kind is the kind of source of repositories (source.Maven).
const Kind = "maven"

const (
	// Folder is the folder below SetupDir that stands for Maven's own conf folder.
	Folder = "maven"
	// Config is the settings file below SetupDir.
	Config = Folder + "/settings.xml"
	// logging is a file in a folder that Maven wants to have beside its global settings.
	logging = Folder + "/logging/simplelogger.properties"
	// Cache is the local repository in a sandbox. It is empty at first: what a warm cache answers would be missing in the recording.
	Cache = "/tmp/nuka-maven"
	index = "maven-metadata.xml"
)

// Adapter implements ecosystem.Adapter, ecosystem.Dater and ecosystem.Prover.
type Adapter struct{}

// Name implements ecosystem.Adapter.
func (Adapter) Name() string { return "maven" }

// Kinds implements ecosystem.Adapter.
func (Adapter) Kinds() []string { return []string{Kind} }

// Doors implements ecosystem.Adapter.
func (Adapter) Doors() []ecosystem.Door {
	return []ecosystem.Door{ecosystem.DoorRegistry, ecosystem.DoorProxy}
}

// Setup implements ecosystem.Adapter. An upstream with a scope stands for the repository with that id. Of the others the first is the mirror of all
// repositories that no other upstream stands for, and the further ones are asked after it. With DoorProxy Maven's own way to a proxy is in the settings,
// and Java does not check the certificate of the proxy, because its stores of certificates are not text: the proxy checks those of the repositories.
func (Adapter) Setup(d ecosystem.Door, base string, upstreams []ecosystem.Upstream) ecosystem.Setup {
	conf := ecosystem.SetupDir + "/" + Folder
	options := "-Dmaven.conf=" + conf
	s := settings{Local: Cache}
	if d == ecosystem.DoorProxy {
		if u, err := url.Parse(base); err == nil {
			for _, protocol := range []string{"https", "http"} {
				s.Proxies = append(s.Proxies, proxy{"nuka-" + protocol, "true", protocol, u.Hostname(), u.Port()})
			}
		}
		options += " -Dmaven.wagon.http.ssl.insecure=true -Dmaven.wagon.http.ssl.allowall=true -Daether.connector.https.securityMode=insecure"
	} else {
		s.mirror(base, upstreams)
	}
	text, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // structs of texts
	}
	return ecosystem.Setup{
		Env: map[string]string{"MAVEN_ARGS": "-s " + conf + "/settings.xml", "MAVEN_OPTS": options},
		Files: map[string]string{
			Config: xml.Header + string(text) + "\n",
			// The file that Maven has there itself, in short.
			logging: "org.slf4j.simpleLogger.defaultLogLevel=info\norg.slf4j.simpleLogger.showThreadName=false\norg.slf4j.simpleLogger.showLogName=false\n" +
				"org.slf4j.simpleLogger.logFile=System.out\norg.slf4j.simpleLogger.cacheOutputStream=true\norg.slf4j.simpleLogger.levelInBrackets=true\n" +
				"org.slf4j.simpleLogger.warnLevelString=WARNING\n",
		},
	}
}

// A settings is settings.xml (maven.apache.org/settings.html).
type settings struct {
	XMLName  xml.Name  `xml:"settings"`
	Local    string    `xml:"localRepository"`
	Proxies  []proxy   `xml:"proxies>proxy,omitempty"`
	Mirrors  []place   `xml:"mirrors>mirror,omitempty"`
	Profiles []profile `xml:"profiles>profile,omitempty"`
	Active   []string  `xml:"activeProfiles>activeProfile,omitempty"`
}

type proxy struct {
	ID       string `xml:"id"`
	Active   string `xml:"active"`
	Protocol string `xml:"protocol"`
	Host     string `xml:"host"`
	Port     string `xml:"port"`
}

// A place is a mirror, or a repository without Of.
type place struct {
	ID  string `xml:"id"`
	URL string `xml:"url"`
	Of  string `xml:"mirrorOf,omitempty"`
}

type profile struct {
	ID           string  `xml:"id"`
	Repositories []place `xml:"repositories>repository"`
	Plugins      []place `xml:"pluginRepositories>pluginRepository"`
}

func (s *settings) mirror(base string, upstreams []ecosystem.Upstream) {
	all := place{Of: "*"}
	var others []place
	for _, u := range upstreams {
		at := place{ID: "nuka-" + u.Alias, URL: base + "/" + u.Alias}
		switch {
		case u.Scope != "":
			at.Of = u.Scope
			s.Mirrors = append(s.Mirrors, at)
			all.Of += ",!" + u.Scope
		case all.ID == "":
			all.ID, all.URL = at.ID, at.URL
		default:
			others = append(others, at)
			all.Of += ",!" + at.ID
		}
	}
	if all.ID != "" {
		s.Mirrors = append(s.Mirrors, all)
	}
	if len(others) > 0 {
		s.Profiles = []profile{{"nuka", others, others}}
		s.Active = []string{"nuka"}
	}
}

// Variant implements ecosystem.Adapter.
func (Adapter) Variant(string, string) (variant, ask string) { return "", "*/*" }

// sums are the endings of the files with the hash or the signature of another file.
var sums = []string{".sha1", ".md5", ".sha256", ".sha512", ".asc"}

func isSum(name string) bool {
	for _, ending := range sums {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

// Classify implements ecosystem.Adapter.
func (Adapter) Classify(r ecosystem.Request) ecosystem.Class {
	name := path.Base(r.Path)
	switch {
	case isSum(name) || !strings.Contains(name, "."):
		return ecosystem.Text
	case name == index:
		return ecosystem.Index
	}
	return ecosystem.Artefact
}

// A coordinate is what a path in a repository says: GROUP as folders, ARTIFACT, VERSION, and the file ARTIFACT-VERSION…
type coordinate struct {
	folder, group, artifact, version, file string
}

// parse reads the path of a file of a version. With DoorProxy the path of the repository is before the group, and cannot be told from it.
func parse(r ecosystem.Request) (c coordinate, ok bool) {
	text, err := url.PathUnescape(r.Path)
	if err != nil {
		return c, false
	}
	part := strings.Split(strings.Trim(text, "/"), "/")
	n := len(part)
	if n < 4 {
		return c, false
	}
	c = coordinate{strings.Join(part[:n-2], "/"), strings.Join(part[:n-3], "."), part[n-3], part[n-2], part[n-1]}
	stem := c.artifact + "-" + strings.TrimSuffix(c.version, "-SNAPSHOT") // the files of a snapshot have a date in place of the word
	rest, ok := strings.CutPrefix(c.file, stem)
	return c, ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '-') && isID(c.group) && isID(c.artifact) && isVersion(c.version)
}

// isID reports whether a text can be a groupId or an artifactId.
func isID(text string) bool {
	return text != "" && len(text) <= 512 && !strings.ContainsFunc(text, func(c rune) bool {
		return c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// isVersion reports whether a text can be a version: no range, and no other character than versions have.
func isVersion(text string) bool {
	return text != "" && len(text) <= 256 && !strings.Contains(text, "..") && !strings.ContainsFunc(text, func(c rune) bool {
		return !strings.ContainsRune(".-_+~", c) && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

// Describe implements ecosystem.Adapter. A package's name is GROUP:ARTIFACT.
func (a Adapter) Describe(r ecosystem.Request) *ecosystem.File {
	c, ok := parse(r)
	if !ok || a.Classify(r) != ecosystem.Artefact {
		return nil
	}
	f := &ecosystem.File{Request: r, Package: c.group + ":" + c.artifact, Version: c.version, Name: c.file}
	if !strings.HasSuffix(c.version, "-SNAPSHOT") {
		f.Origin = nuon.Record{"kind": Kind, "name": f.Package, "version": c.version}
		if c.file != c.artifact+"-"+c.version+".jar" {
			f.Origin["file"] = c.file
		}
	}
	return f
}

// Proof implements ecosystem.Prover. The hash is SHA-1: some repositories compute others when they are asked, which takes long.
func (a Adapter) Proof(r ecosystem.Request) (question ecosystem.Request, read func([]byte) (pir.Hash, string), ok bool) {
	if a.Classify(r) != ecosystem.Artefact {
		return r, nil, false
	}
	r.Path += ".sha1"
	return r, func(body []byte) (none pir.Hash, weak string) {
		// The hash alone, or as sha1sum writes it. Old tools wrote "SHA1(file)= HASH".
		for word := range strings.FieldsSeq(string(body[:min(len(body), 1024)])) {
			if raw, err := hex.DecodeString(word); err == nil && len(raw) == 20 {
				return none, "sha1:" + strings.ToLower(word)
			}
		}
		return none, ""
	}, true
}

// Date implements ecosystem.Dater. It asks for the POM of the version: a release never changes.
func (Adapter) Date(r ecosystem.Request, version string) (ecosystem.Request, func(http.Header, []byte) time.Time, bool) {
	folder, artifact := "", ""
	if c, ok := parse(r); ok {
		folder, artifact = c.folder, c.artifact
	} else if rest, ok := strings.CutSuffix(r.Path, "/"+index); ok {
		folder, artifact = strings.Trim(rest, "/"), path.Base(rest)
	}
	if folder == "" || !isVersion(version) || strings.HasSuffix(version, "-SNAPSHOT") {
		return ecosystem.Request{}, nil, false
	}
	pom := fmt.Sprintf("/%s/%s/%s-%s.pom", folder, version, artifact, version)
	return ecosystem.Request{Alias: r.Alias, Path: strings.ReplaceAll(pom, " ", "%20")}, func(h http.Header, _ []byte) time.Time {
		at, err := http.ParseTime(h.Get("Last-Modified"))
		if err != nil {
			return time.Time{}
		}
		return at.UTC()
	}, true
}
