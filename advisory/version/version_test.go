package version

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVectors compares the orders with the vectors that lie beside osv-scalibr's own orders.
func TestVectors(t *testing.T) {
	c := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr")
	c.Env = append(os.Environ(), "GOFLAGS=")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "semantic", "testdata")
	for file, ecosystem := range map[string]string{
		"debian-versions.txt": "Debian", "debian-versions-generated.txt": "Debian", "pypi-versions.txt": "PyPI", "pypi-versions-generated.txt": "PyPI",
		"maven-versions.txt": "Maven", "maven-versions-generated.txt": "Maven", "semver-versions.txt": "npm",
	} {
		t.Run(file, func(t *testing.T) { vectors(t, filepath.Join(dir, file), ecosystem) })
	}
}

func vectors(t *testing.T, path, ecosystem string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	order, ok := Of(ecosystem)
	if !ok {
		t.Fatal(ecosystem)
	}
	compared, invalid := 0, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		words := strings.Fields(line)
		if line == "" || strings.HasPrefix(line, "#") || len(words) != 3 {
			continue
		}
		if !order.Valid(words[0]) || !order.Valid(words[2]) {
			invalid++
			t.Logf("%s: no version", line)
			continue
		}
		compared++
		want := map[string]int{"<": -1, "=": 0, ">": 1}[words[1]]
		if got := sign(order.Compare(words[0], words[2])); got != want {
			t.Errorf("%s: got %d", line, got)
		}
		if got := sign(order.Compare(words[2], words[0])); got != -want {
			t.Errorf("%s: the other way: got %d", line, got)
		}
	}
	if compared < 20 || invalid > compared/2 {
		t.Errorf("%d pairs were compared, and %d were none", compared, invalid)
	}
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

func TestValid(t *testing.T) {
	for ecosystem, texts := range map[string]map[string]bool{
		"Debian:12": {"1.0~rc1-1": true, "1:1.2.13.dfsg-1": true, "3.0.19-1~deb12u2": true, "": false, "<not-affected>": false, "1.0 2": false, strings.Repeat("1", MaxLength+1): false, "99999999999:1": false},
		"PyPI":      {"1.0.post1": true, "1!0.1": true, "not a version": false, "": false, "1.0\x00": false, strings.Repeat("1.", 200) + "1": false},
		"Go":        {"v1.2.3": true, "1.2.3": true, "v2.0.1+incompatible": true, "0.0.0-20200101000000-abcdefabcdef": true, "(devel)": false, "1.2.3.4": false, "": false},
		"npm":       {"1.2.3-beta.1": true, "latest": false},
		"Maven":     {"1.0-SNAPSHOT": true, "1.0.RC1": true, "": false, "a\u202eb": false},
	} {
		order, ok := Of(ecosystem)
		if !ok {
			t.Fatal(ecosystem)
		}
		for text, want := range texts {
			if got := order.Valid(text); got != want {
				t.Errorf("%s: %.40q: got %t, want %t", ecosystem, text, got, want)
			}
		}
	}
	if _, ok := Of("OSS-Fuzz"); ok {
		t.Error("OSS-Fuzz has no order")
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct{ ecosystem, less, more string }{
		{"Debian", "1.0~rc1-1", "1.0-1"}, {"Debian", "9.9", "1:1.0"}, {"Debian", "1.2.13", "1.2.13.dfsg-1"}, {"Debian", "3.0.19-1~deb12u2", "3.0.19-1"},
		{"PyPI", "1.0rc1", "1.0"}, {"PyPI", "1.0", "1.0.post1"}, {"PyPI", "9", "1!0.1"},
		{"Go", "v0.0.0-20200101000000-abcdefabcdef", "v0.0.0-20210101000000-abcdefabcdef"}, {"npm", "1.0.0-rc.2", "1.0.0-rc.10"},
		{"Maven", "1.0-SNAPSHOT", "1.0"}, {"Maven", "1.0.RC1", "1.0"},
	} {
		order, _ := Of(c.ecosystem)
		if order.Compare(c.less, c.more) >= 0 || order.Compare(c.more, c.less) <= 0 {
			t.Errorf("%s: %s is not less than %s", c.ecosystem, c.less, c.more)
		}
	}
	order, _ := Of("Go")
	if order.Compare("v1.2.3", "1.2.3") != 0 || order.Compare("v2.0.1+incompatible", "2.0.1") != 0 {
		t.Error("two spellings of one Go version differ")
	}
}

func FuzzOrder(f *testing.F) {
	f.Add("Debian", "1:1.0-1", "1.0~rc1")
	f.Add("PyPI", "1!0.1", "1.0.post1")
	f.Add("Maven", "1.0-SNAPSHOT", "1.0.RC1")
	f.Add("Go", "v1.2.3", "1.2")
	f.Fuzz(func(t *testing.T, ecosystem, a, b string) {
		order, ok := Of(ecosystem)
		if !ok || !order.Valid(a) || !order.Valid(b) {
			return
		}
		if order.Compare(a, a) != 0 || sign(order.Compare(a, b)) != -sign(order.Compare(b, a)) {
			t.Errorf("%s: %q and %q have no order", ecosystem, a, b)
		}
	})
}
