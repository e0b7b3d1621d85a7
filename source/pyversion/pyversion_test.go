package pyversion

import (
	"testing"
)

// TestPEP440 has the examples of PEP 440, and several spellings of one version.
func TestPEP440(t *testing.T) {
	sorted := []string{
		"1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456", "1.0b2.post345",
		"1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "1!0.1",
	}
	for i := range sorted[:len(sorted)-1] {
		a, okA := Parse(sorted[i])
		b, okB := Parse(sorted[i+1])
		if !okA || !okB || a.Compare(b) >= 0 || b.Compare(a) <= 0 {
			t.Errorf("%s does not come before %s", sorted[i], sorted[i+1])
		}
	}
	for _, same := range [][]string{
		{"1.0", "1", "1.0.0", "v1.0", "01.0"}, {"1.0a1", "1.0-alpha.1", "1.0_ALPHA1", "1a1"}, {"1.0rc1", "1.0c1", "1.0.pre1", "1.0-preview_1"},
		{"1.0.post1", "1.0-1", "1.0r1", "1.0.rev-1"}, {"1.0.dev0", "1.0dev", "1.0-DEV"}, {"1.0+a.b", "1.0+A-b", "1.0+a_b"},
	} {
		for _, other := range same {
			if !Same(same[0], other) {
				t.Errorf("%s is not %s", other, same[0])
			}
		}
	}
	for _, other := range []string{"1.0.1", "1.0rc1", "1.0.post0", "1.0.dev0", "1.0+x", "1!1.0", "11.0", "1.00.1", "latest", ""} {
		if Same("1.0", other) {
			t.Errorf("%s is 1.0", other)
		}
	}
}

func TestFile(t *testing.T) {
	for name, want := range map[string]string{
		"six-1.7.3-py2.py3-none-any.whl": "1.7.3", "six-1.7.3.tar.gz": "1.7.3", "six-1.7.3.zip": "1.7.3", "Six-1.7.3.tar.bz2": "1.7.3", "six-7.3.egg": "7.3",
		"six-2-1.7.3.tar.gz": "", "other-1.tar.gz": "", "six.tar.gz": "", "six-x.tar.gz": "", "six-1.7.3.tar.gz.asc": "",
	} {
		if got, _, _ := File(name, "six"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"my-pkg-1.0.tar.gz", "my_pkg-1.0.tar.gz", "My.Pkg-1.0.tar.gz"} {
		if got, isSource, ok := File(name, "my-pkg"); got != "1.0" || !isSource || !ok {
			t.Errorf("%s: got %q, %v, %v", name, got, isSource, ok)
		}
	}
}

// FuzzPEP440 checks that Compare orders arbitrary versions.
func FuzzPEP440(f *testing.F) {
	f.Add("1.0", "1!1.0a1.post2.dev3+x")
	f.Fuzz(func(t *testing.T, a, b string) {
		v, okV := Parse(a)
		w, okW := Parse(b)
		if okV && okW && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q are in no order", a, b)
		}
		File(a, b)
	})
}
