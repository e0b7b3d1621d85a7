package node

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
)

// TestRegistriesOf takes a configuration from the daemon's own user only.
func TestRegistriesOf(t *testing.T) {
	want := &source.Registries{
		Clients: map[string]source.Config{
			"npm":   &source.NPMConfig{Settings: map[string]string{"registry": "https://h/", "//h/:_authToken": "t"}},
			"pypi":  &source.PyPIConfig{Index: "https://u:p@h/", Extra: []string{"https://h/x"}},
			"cargo": &source.CargoConfig{Index: "https://h/i", Token: "t"},
			"go":    &source.GoConfig{Proxy: "https://h,direct", NoProxy: "x"},
		},
		Logins: []source.Login{{Host: "h", User: "u", Password: "p"}},
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := registriesOf(protocol.RealizeArgs{Registries: text}, true)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(source.Registries{})); err != nil || diff != "" {
		t.Errorf("of the user: %v (-want +got)\n%s", err, diff)
	}
	if got, err := registriesOf(protocol.RealizeArgs{Registries: text}, false); got != nil || err != nil {
		t.Errorf("of a stranger: %v, %v", got, err)
	}
	if _, err := registriesOf(protocol.RealizeArgs{Registries: []byte(`{"logins":"s3cret"}`)}, true); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("malformed: got %v, want an error without the text", err)
	}
}
