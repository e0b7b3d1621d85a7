package nu

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEngineDigest recomputes the digest of the engine's sources, which build.sh recorded beside the artefact.
func TestEngineDigest(t *testing.T) {
	names := []string{"Cargo.toml", "Cargo.lock", "build.sh"}
	err := filepath.WalkDir("engine/src", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, err := filepath.Rel("engine", name)
			names = append(names, filepath.ToSlash(rel))
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var list strings.Builder
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join("engine", name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(b), name)
	}
	if got, want := fmt.Sprintf("%x", sha256.Sum256([]byte(list.String()))), EngineDigest(); got != want {
		t.Errorf("the embedded nushell was built from other sources: got digest %s, want %s; run make engine", got, want)
	}
}

// TestEngineMentionsNoMachine searches the artefact for paths of the machine that built it.
func TestEngineMentionsNoMachine(t *testing.T) {
	code, err := engineCode()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"/root/", "/work/", "/tmp/", ".cargo", "crates.io"} {
		if i := strings.Index(string(code), text); i >= 0 {
			t.Errorf("the artefact contains %q", code[max(0, i-40):min(len(code), i+80)])
		}
	}
}
