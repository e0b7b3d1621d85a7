package source

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/MordragT/nuka/protocol"
)

func checkMaven(o Origin) error {
	if err := checkRelease(o, false); err != nil {
		return err
	}
	group, artifact, ok := strings.Cut(o.Name, ":")
	if !ok || group == "" || artifact == "" || strings.Contains(artifact, ":") {
		return fmt.Errorf("origin maven: the name %q is not of the form GROUP:ARTIFACT", o.Name)
	}
	if file := o.Flags["file"]; strings.ContainsAny(file, "/\\?#%\x00 ") || strings.Contains(file, "..") {
		return fmt.Errorf("origin maven: %q is not the name of a file in a repository", file)
	}
	if strings.HasSuffix(o.Version, "-SNAPSHOT") {
		return fmt.Errorf("origin maven: %s is a snapshot, whose content can change", o.Version)
	}
	return nil
}

// resolveMaven returns the address of a file in the first repository that has the POM of its version.
func (f *Fetcher) resolveMaven(ctx context.Context, o Origin, regs *Registries) ([]place, error) {
	m := configOf[MavenConfig](regs, "maven")
	places, err := f.mavenPlaces(ctx, m)
	if err != nil {
		return nil, err
	}
	group, artifact, _ := strings.Cut(o.Name, ":")
	folder := "/" + strings.ReplaceAll(group, ".", "/") + "/" + artifact
	stem := folder + "/" + o.Version + "/" + artifact + "-" + o.Version
	var failure error
	for _, p := range places {
		at, err := m.place(p)
		if err != nil {
			return nil, err
		}
		if _, err = f.get(ctx, place{at.url + stem + ".pom", at.header}); err == nil {
			if o.Flags["file"] != "" {
				at.url += folder + "/" + o.Version + "/" + o.Flags["file"]
			} else {
				at.url += stem + ".jar"
			}
			return []place{at}, nil
		}
		if protocol.CodeOf(err) == protocol.NotFound {
			err = f.noMavenVersion(ctx, o, place{at.url + folder + "/maven-metadata.xml", at.header}, err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if failure == nil || protocol.CodeOf(failure) == protocol.NotFound {
			failure = err
		}
	}
	return nil, failure
}

// noMavenVersion returns an error with the versions that a repository has, if it has the artifact.
func (f *Fetcher) noMavenVersion(ctx context.Context, o Origin, at place, missing error) error {
	body, err := f.get(ctx, at)
	if err != nil {
		return missing
	}
	var metadata struct {
		Latest   string   `xml:"versioning>latest"`
		Release  string   `xml:"versioning>release"`
		Versions []string `xml:"versioning>versions>version"`
	}
	if xml.Unmarshal(body, &metadata) != nil || len(metadata.Versions) == 0 {
		return missing
	}
	newest := first(metadata.Release, metadata.Latest, metadata.Versions[len(metadata.Versions)-1])
	switch o.Version {
	case "latest", "LATEST", "release", "RELEASE":
		return movingVersion(o, newest)
	}
	return noVersion(o, newest, metadata.Versions) // they are in order, as repositories write them
}
