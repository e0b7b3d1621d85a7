package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

func TestConfig(t *testing.T) {
	c, err := parse([]byte(`{
  # a node of the team
  listen: [/ip4/127.0.0.1/tcp/4717]
  mdns: false, up: 10MiB, confine: partial
  share: [{names: "work-*", with: off}, {names: "lib*", with: public}]
}`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Listens, want.Listen, want.MDNS, want.Up, want.Partial = true, []string{"/ip4/127.0.0.1/tcp/4717"}, false, 10<<20, true
	want.Share = []ShareRule{{"work-*", Off}, {"lib*", Public}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for name, reach := range map[string]Reach{"work-x": Off, "libz": Public, "lua": Mesh, "": Mesh} {
		if got := c.Reach(name); got != reach {
			t.Errorf("%q: got %s, want %s", name, got, reach)
		}
	}
	for text, want := range map[string]string{
		"[]":                                     "want a record",
		"{lissen: []}":                           "unknown setting lissen; the settings are listen, bootstrap",
		"{listen: 5}":                            "listen: want a list of multiaddrs",
		"{connections: 5b}":                      "such as {connections: 50}",
		`{listen: ["127.0.0.1:0"]}`:              `got ["127.0.0.1:0"]; such as {listen: ["/ip4/0.0.0.0/udp/4717/quic-v1"`,
		`{listen: ["/ip4/127.0.0.1"]}`:           "listen",
		"{share: [{names: x, with: foo}]}":       `got [{"names":"x","with":"foo"}]; such as {share: [{names: "work-*"`,
		"{listen: [5]}":                          "listen",
		"{up: 5}":                                "up",
		"{up: -5b}":                              "up",
		"{connections: 0}":                       "connections",
		"{jobs: 0}":                              "jobs",
		"{share: [{names: a, with: everybody}]}": "share",
		"{share: [{names: '[', with: off}]}":     "share",
		"{confine: none}":                        "confine",
		"{confine: true}":                        "confine",
		"{mdns: 1.5}":                            "1:8",
		"{ecosystem: {cooldown: {ruby: 7day}}}":  "an ECOSYSTEM is pip",
		"{ecosystem: {cooldown: {pip: 7}}}":      "ecosystem: want",
		"{ecosystem: {cooldown: {pip: -1day}}}":  "ecosystem: want",
		"{ecosystem: {exempt: {pip: six}}}":      "ecosystem: want",
		"{ecosystem: {recorded: {}}}":            "ecosystem: want",
		"{ecosystem: {record: 1}}":               "ecosystem: want",
		"{ecosystem: {}}":                        "ecosystem: want",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestCooldown(t *testing.T) {
	c, err := parse([]byte(`{ecosystem: {cooldown: {pip: 14day, go: 0day}, exempt: {pip: [ours]}, record: true}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]time.Duration{"pip": 14 * 24 * time.Hour, "go": 0, "npm": DefaultCooldown} {
		if got := c.Ecosystem.CooldownOf(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if e := c.Ecosystem; !e.Record || !cmp.Equal(e.Exempt, map[string][]string{"pip": {"ours"}}) {
		t.Errorf("got %+v", e)
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.nuon")
	f, err := Open(path)
	if err != nil || !f.Get().MDNS {
		t.Fatalf("got %+v, %v; want the defaults", f, err)
	}
	if err := os.WriteFile(path, []byte("{mdns: false}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.SetBootstrap([]string{"/ip4/127.0.0.1/tcp/1"}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil || again.Get().MDNS || !cmp.Equal(again.Get().Bootstrap, []string{"/ip4/127.0.0.1/tcp/1"}) {
		t.Errorf("got %+v, %v", again.Get(), err)
	}
	if err := os.WriteFile(path, []byte("{mdns: }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "config.nuon: 1:8") {
		t.Errorf("got %v, want the place", err)
	}
}

// page returns docs/config.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Settings

The file ` + "`config.nuon`" + ` configures a node. It is in the node's home, beside the store: in the folder that NUKA_HOME names, else in
` + "`$XDG_DATA_HOME/nuka`" + `, which is ` + "`~/.local/share/nuka`" + ` by default. ` + "`nuka status`" + ` prints the path of the home. All settings are optional. A node reads the
file when it starts. To apply a change, run ` + "`nuka daemon stop`" + `; the next command starts the node again.

`)
	for _, s := range settings {
		fmt.Fprintf(&b, "## %s\n\n%s\n\nWant: %s.\n\n    %s\n\n", s.name, s.doc, s.want, s.example)
	}
	b.WriteString("Caches, logs and unfinished downloads have fixed limits: [operating.md](operating.md#disk) lists them.\n\n")
	b.WriteString("`go test ./node/config -run TestConfigPage -update` writes this page from node/config/settings.go.\n")
	return b.String()
}

// docs/config.md equals the page made from the table of settings, and each example in it is a valid configuration.
func TestConfigPage(t *testing.T) {
	const file = "../../docs/config.md"
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
		t.Errorf("%s (-want +got); make it anew: go test ./node/config -run TestConfigPage -update\n%s", file, d)
	}
	for _, s := range settings {
		c, err := parse([]byte(s.example))
		if err != nil {
			t.Errorf("the example of %s: %v", s.name, err)
		}
		if cmp.Equal(c, defaults()) {
			t.Errorf("the example of %s says nothing", s.name)
		}
	}
	// The table has each field of Config: together the examples set all fields.
	all := reflect.ValueOf(*defaults())
	for i := range all.NumField() {
		name := strings.ToLower(all.Type().Field(i).Name)
		name = map[string]string{"listens": "listen", "partial": "confine"}[name] + strings.TrimSuffix(strings.TrimSuffix(name, "listens"), "partial")
		if !slices.ContainsFunc(settings, func(s setting) bool { return strings.ReplaceAll(s.name, "-", "") == name }) {
			t.Errorf("%s is no setting of the page", name)
		}
	}
}
