package source

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/kind"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// TestFetchPage checks that docs/fetch.md is generated from the kinds.
func TestFetchPage(t *testing.T) {
	const file = "../docs/fetch.md"
	if *update {
		if err := os.WriteFile(file, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(page(), string(got)); d != "" {
		t.Errorf("%s (-want +got); make it anew: go test ./source -run TestFetchPage -update\n%s", file, d)
	}
}

// TestKinds checks that each kind sets every required field.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	configs := map[string]*ConfigKind{}
	for _, k := range Kinds() {
		if k.Name == "" || seen[k.Name] || k.About == "" || k.More == "" || len(k.Examples) == 0 || k.Doc == "" || k.Finds == "" {
			t.Errorf("%q: a kind has a name of its own, a text for help, an example, a text for the page, and says where it is found", k.Name)
		}
		seen[k.Name] = true
		if found := OriginKind(k.Name).find(); found == nil || found.Name != k.Name {
			t.Errorf("%s is not found by its name", k.Name)
		}
		if !k.Local && (k.Find == nil && k.Fetch == nil) {
			t.Errorf("%s is not found", k.Name)
		}
		for _, p := range append(k.Args, k.Flags...) {
			if p.About == "" || p.Type != kind.String && p.Type != kind.Int && p.Type != kind.Switch {
				t.Errorf("%s %s: no text, or the type %q", k.Name, p.Name, p.Type)
			}
			if !p.Aside && p.Type == kind.Int {
				t.Errorf("%s %s: fields of origins are texts", k.Name, p.Name)
			}
		}
		if c := k.Config; c != nil {
			if configs[c.Name] != nil || c.Name == netrcField || c.Variables == "" {
				t.Errorf("%s: the configuration %q needs a name and variables of its own", k.Name, c.Name)
			}
			configs[c.Name] = c
		}
	}
	if Table().Version == "" {
		t.Error("the table has no version")
	}
}

// TestOriginFields checks that fields that a kind does not have are refused; an origin from another machine may have them.
func TestOriginFields(t *testing.T) {
	for text, want := range map[string]string{
		`{"arch":"amd64","kind":"npm","name":"a","version":"1"}`:   `field "arch" is unknown`,
		`{"kind":"url","rev":"v1","url":"https://h/a"}`:            `field "rev" is unknown`,
		`{"kind":"path","path":"/etc"}`:                            `field "path" is unknown`,
		`{"kind":"debsrc","name":"a","patches":"1","version":"1"}`: `want "true"`,
		`{"kind":"floppy","name":"a","version":"1"}`:               `kind "floppy" is unknown`,
		`{"kind":"npm","name":"a","version":1}`:                    `field "version" is not a string`,
	} {
		if o, err := ParseOrigin([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v, want %q", text, o, err, want)
		}
	}
}

// page returns the text of docs/fetch.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Kinds of sources

The kinds in package source, one file each, generate this page. To change it, edit them and run ` + "`go test ./source -run TestFetchPage -update`" + `.
[packages.md](packages.md) describes how a package uses sources and how nuka unpacks them; [registries.md](registries.md) how nuka finds registries
and credentials, and which of them the command sends to the daemon.

| kind | what it is | fixed by | without --unpack and --strip |
|---|---|---|---|
`)
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| [`fetch %s`](#fetch-%s) | %s | %s | %s |\n", k.Name, k.Name, phrase(k.About), digests(k), unpacked(k))
	}
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "\n## fetch %s\n\n%s\n\n    %s\n\n", k.Name, k.About, usage(k.Kind))
		b.WriteString("| | type | |\n|---|---|---|\n")
		for _, p := range k.Args {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, p.Type, p.About)
		}
		for _, p := range k.Flags {
			fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", p.Name, p.Type, p.About)
		}
		fmt.Fprintf(&b, "\nFound: %s.\n", k.Finds)
		if k.Credentials != "" {
			fmt.Fprintf(&b, "\nCredentials: %s.\n", k.Credentials)
		}
		fmt.Fprintf(&b, "\n%s\n", k.Doc)
	}
	return b.String()
}

// phrase turns a sentence into a part of another sentence.
func phrase(sentence string) string {
	return strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
}

func usage(k kind.Kind) string {
	words := "fetch " + k.Name
	for _, p := range k.Args {
		words += " <" + p.Name + ">"
	}
	for _, p := range k.Flags {
		if p.Type == kind.Switch {
			words += " [--" + p.Name + "]"
		} else {
			words += fmt.Sprintf(" [--%s <%s>]", p.Name, p.Type)
		}
	}
	return words
}

func digests(k Kind) string {
	if k.Local {
		return "its content"
	}
	names := []string{"`b3-…` of its tree"}
	for _, a := range k.Digests {
		names = append(names, "`"+string(a)+"`")
	}
	return strings.Join(names, ", ")
}

// unpacked describes how a kind is unpacked by default, computed from a plain origin.
func unpacked(k Kind) string {
	if _, ok := paramOf(k, "unpack"); !ok {
		return "kept as it is"
	}
	how := pir.UnpackArchive
	if k.Unpacked != nil {
		how = k.Unpacked(kind.Fields{})
	}
	text := map[pir.Unpack]string{
		pir.UnpackArchive: "unpacked", pir.UnpackDeb: "its data is unpacked", pir.UnpackFile: "unpacked if its address has the extension of an archive",
	}[how]
	if k.Stripped != nil && k.Stripped(kind.Fields{}) > 0 {
		text += ", without the top folder"
	}
	return text
}

func paramOf(k Kind, name string) (kind.Param, bool) {
	for _, p := range k.Flags {
		if p.Name == name {
			return p, true
		}
	}
	return kind.Param{}, false
}

// TestVariablesOfRegistries checks that a client program does not see variables that name registries.
func TestVariablesOfRegistries(t *testing.T) {
	for variable, want := range map[string]bool{
		"npm_config_registry=x": true, "NPM_CONFIG_USERCONFIG=x": true, "PIP_INDEX_URL=x": true, "GOPROXY=x": true,
		"CARGO_REGISTRIES_A_INDEX=x": true, "CARGO_REGISTRY_TOKEN=x": true,
		"PATH=/bin": false, "HOME=/": false, "CARGO_HOME=/": false, "GOFLAGS=": false,
	} {
		if got := configuresRegistry(variable); got != want {
			t.Errorf("%s: got %v, want %v", variable, got, want)
		}
	}
}
