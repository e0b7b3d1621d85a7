package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConfig(t *testing.T) {
	c, err := parseConfig([]byte(`{
  # a node of the team
  listen: [/ip4/127.0.0.1/tcp/4717]
  mdns: false, up: 10MiB, confine: partial
  share: [{names: "work-*", with: off}, {names: "lib*", with: public}]
}`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Listens, want.Listen, want.MDNS, want.Up, want.Partial = true, []string{"/ip4/127.0.0.1/tcp/4717"}, false, 10<<20, true
	want.Share = []ShareRule{{"work-*", Off}, {"lib*", Public}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for name, reach := range map[string]Reach{"work-x": Off, "libz": Public, "lua": LAN, "": LAN} {
		if got := c.Reach(name); got != reach {
			t.Errorf("%q: got %s, want %s", name, got, reach)
		}
	}
	for text, want := range map[string]string{
		"[]":                                     "want a record",
		"{lissen: []}":                           "there is no lissen",
		"{listen: 5}":                            "listen: 5 is not what belongs there",
		"{listen: [5]}":                          "listen",
		"{up: 5}":                                "up",
		"{up: -5b}":                              "up",
		"{connections: 0}":                       "connections",
		"{share: [{names: a, with: everybody}]}": "share",
		"{share: [{names: '[', with: off}]}":     "share",
		"{confine: none}":                        "confine",
		"{confine: true}":                        "confine",
		"{mdns: 1.5}":                            "1:8",
	} {
		if _, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.nuon")
	f, err := openConfig(path)
	if err != nil || !f.Get().MDNS {
		t.Fatalf("got %+v, %v; want the defaults", f, err)
	}
	if err := os.WriteFile(path, []byte("{mdns: false}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.setBootstrap([]string{"/ip4/127.0.0.1/tcp/1"}); err != nil {
		t.Fatal(err)
	}
	again, err := openConfig(path)
	if err != nil || again.Get().MDNS || !cmp.Equal(again.Get().Bootstrap, []string{"/ip4/127.0.0.1/tcp/1"}) {
		t.Errorf("got %+v, %v", again.Get(), err)
	}
	if err := os.WriteFile(path, []byte("{mdns: }"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openConfig(path); err == nil || !strings.Contains(err.Error(), "config.nuon: 1:8") {
		t.Errorf("got %v, want the place", err)
	}
}
