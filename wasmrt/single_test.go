package wasmrt_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/MordragT/nuka/wasmrt"
)

// TestSingleFile mounts one file, such as a source that is not an archive.
func TestSingleFile(t *testing.T) {
	tree, err := wasmrt.NewTree(slices.Values([]wasmrt.Entry{{Path: "", Kind: wasmrt.KindFile, Data: []byte("alone\n")}}))
	if err != nil {
		t.Fatal(err)
	}
	_, h := newHost(t, wasmrt.Limits{}, wasmrt.Mount{Path: "/nuka/src", Tree: tree})
	for _, c := range []struct{ args, want string }{
		{"guest cat /nuka/src", "alone\n"},
		{"guest cat ../src", "alone\n"},
		{"guest cat /nuka/src/x", "Not a directory"},
		{"guest write /nuka/src x", "Read-only"},
		{"guest ls /nuka", "src"},
	} {
		if out, _, err := command(h, strings.Fields(c.args)...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.args, out, err, c.want)
		}
	}
	for _, more := range []wasmrt.Entry{{Path: "", Kind: wasmrt.KindFile}, {Path: "a", Kind: wasmrt.KindFile}} {
		if _, err := wasmrt.NewTree(slices.Values([]wasmrt.Entry{{Path: "", Kind: wasmrt.KindFile}, more})); err == nil {
			t.Errorf("a file with %q beside it is accepted", more.Path)
		}
	}
}
