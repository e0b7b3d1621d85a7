package main

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// damage TEXT overwrites the files of the store that have this text and a newline.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	blobs, err := filepath.Glob(filepath.Join(ts.Getenv("NUKA_HOME"), "store", "blobs", "*", "*"))
	ts.Check(err)
	n := 0
	for _, name := range blobs {
		b, err := os.ReadFile(name)
		ts.Check(err)
		if string(b) != args[0] && string(b) != args[0]+"\n" {
			continue
		}
		ts.Check(os.Chmod(name, 0o644))
		ts.Check(os.WriteFile(name, make([]byte, len(b)), 0o644))
		n++
	}
	if n == 0 {
		ts.Fatalf("%d files, and none has the text %q", len(blobs), args[0])
	}
}
