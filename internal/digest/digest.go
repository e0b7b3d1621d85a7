// Package digest computes digests of the code of a program, so that caches of its results change with the code.
package digest

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"

	"github.com/zeebo/blake3"
)

// Sources returns a digest of the names and texts of the Go files in fsys, without tests.
// fsys holds the embedded files of a package. An error of fsys means a broken program, so Sources panics.
func Sources(fsys fs.FS) string {
	h := blake3.New()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := fs.ReadFile(fsys, name)
		fmt.Fprintf(h, "%s %d\n", name, len(text))
		h.Write(text)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("digest: embedded files: %v", err))
	}
	return hex.EncodeToString(h.Sum(nil))
}
