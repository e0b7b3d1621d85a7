package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// TestEmbeddedIndex checks that packages/index.nuon describes the set in nuka. With -update it writes the file.
func TestEmbeddedIndex(t *testing.T) {
	a := &app{terminal: stdTerminal(), home: protocol.Home{Cache: filepath.Dir(programs)}}
	entries, err := a.entriesAt(t.Context(), packages.FS, []nu.Mount{{Path: setMount, FS: packages.FS, Library: true}}, setMount)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Broken != "" || e.Version == "" || e.Description == "" || e.License == "" {
			t.Errorf("%s: broken %q, version %q, description %q, license %q", e.Path, e.Broken, e.Version, e.Description, e.License)
		}
	}
	want, err := set.EncodeEntries(entries)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("../../packages/index.nuon", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(want), string(packages.Index)); d != "" {
		t.Errorf("packages/index.nuon (-want +got)\n%s\nwrite it again: go test ./cmd/nuka -run TestEmbeddedIndex -update", d)
	}
}
