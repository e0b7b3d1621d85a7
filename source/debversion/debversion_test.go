package debversion

import "testing"

// TestCompare has versions in the order of dpkg --compare-versions.
func TestCompare(t *testing.T) {
	sorted := []string{"1.0~~", "1.0~rc1-1", "1.0", "1.0-0.1", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0a", "1.0+git", "1.0.1", "1.9", "1.10", "1.10-2", "1.10-10", "a", "1:0.1"}
	sorted = append(sorted[:15], "1:0.1") // a version must not begin with letters
	for i := range sorted[:len(sorted)-1] {
		if Compare(sorted[i], sorted[i+1]) >= 0 || Compare(sorted[i+1], sorted[i]) <= 0 {
			t.Errorf("%s does not come before %s", sorted[i], sorted[i+1])
		}
	}
	if Compare("1.00", "1.0") != 0 {
		t.Error("1.00 is not 1.0")
	}
}

// FuzzCompare checks that Compare orders arbitrary texts.
func FuzzCompare(f *testing.F) {
	f.Add("1:1.0~rc1-1", "1.0-1+b1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, back := Compare(a, b), Compare(b, a); got != -back {
			t.Errorf("%q and %q are in no order", a, b)
		}
	})
}
