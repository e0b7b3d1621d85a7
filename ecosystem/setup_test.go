package ecosystem

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
)

// TestSetup writes and reads what follows the answers, and refuses what no client uses.
func TestSetup(t *testing.T) {
	digest := pir.NewHash(pir.SHA256, make([]byte, 32))
	full := func() *Recording {
		return &Recording{Ecosystem: "npm", Door: DoorRegistry,
			Setup:       Setup{Env: map[string]string{"npm_config_registry": Base + "/npm/"}, Files: map[string]string{"npmrc": "a=b\n"}},
			System:      []SystemPackage{{"libcairo2", "1.18.4-1+b1", "amd64", digest, "pool/main/c/cairo/libcairo2_1.18.4-1+b1_amd64.deb"}},
			BuildSystem: []SystemPackage{{"libcairo2-dev", "1.18.4-1+b1", "amd64", digest, "pool/main/c/cairo/libcairo2-dev_1.18.4-1+b1_amd64.deb"}}}
	}
	text, err := full().Encode()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(full(), r, cmp.Comparer(func(a, b pir.Hash) bool { return a == b })); d != "" {
		t.Error(d)
	}
	newer := full()
	newer.System[0].Version, newer.BuildSystem = "2", nil
	if d := cmp.Diff([]Change{{"deb libcairo2", "1.18.4-1+b1", "2"}, {"deb libcairo2-dev", "1.18.4-1+b1", ""}}, Changes(r, newer)); d != "" {
		t.Error(d)
	}
	for what, change := range map[string]func(*Recording){
		"a variable with =":        func(r *Recording) { r.Setup.Env["A=B"] = "" },
		"a variable with NUL":      func(r *Recording) { r.Setup.Env["A"] = "a\x00" },
		"a file outside":           func(r *Recording) { r.Setup.Files["../../etc/passwd"] = "" },
		"a large file":             func(r *Recording) { r.Setup.Files["a"] = strings.Repeat("a", maxValue+1) },
		"a package twice":          func(r *Recording) { r.System = append(r.System, r.System[0]) },
		"a build package twice":    func(r *Recording) { r.BuildSystem = append(r.BuildSystem, r.BuildSystem[0]) },
		"one for both":             func(r *Recording) { r.BuildSystem = append(r.BuildSystem, r.System[0])[1:] },
		"a name that is an option": func(r *Recording) { r.System[0].Name = "--hash" },
		"a path outside":           func(r *Recording) { r.System[0].Path = "../../x.deb" },
		"another hash":             func(r *Recording) { r.System[0].Hash = hashOf("a") },
	} {
		r := full()
		change(r)
		if _, err := r.Encode(); !errors.Is(err, ErrRecording) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for _, edit := range [][2]string{{`"setup":{`, `"setup":{"more":1,`}, {`"npmrc":"a=b`, `"npmrc":1,"b":"a=b`}, {`"arch":"amd64"`, `"arch":1`}} {
		if _, err := Decode([]byte(strings.Replace(string(text), edit[0], edit[1], 1))); !errors.Is(err, ErrRecording) {
			t.Errorf("%s: got %v", edit[1], err)
		}
	}
}
