package ecosystem

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
)

func module(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestModuleHash(t *testing.T) {
	// The hashes are those of golang.org/x/mod/sumdb/dirhash.Hash1 over the same files.
	data := module(t, "example.com/m@v1.0.0/go.mod", "module example.com/m\n", "example.com/m@v1.0.0/a.go", "package m\n")
	got, err := moduleHash(bytes.NewReader(data), int64(len(data)), "v1.0.0.zip")
	if err != nil {
		t.Fatal(err)
	}
	if want := "h1:SXy42eQ/QbleX7vtuAPFnaM3tNuQnfeo7rulG/p7iOw="; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	mod := []byte("module example.com/m\n")
	got, err = moduleHash(bytes.NewReader(mod), int64(len(mod)), "v1.0.0.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "h1:flS2VctbRrTv+sBE+VKgxx6hlkMGPVz9MGOmzMYFg3k="; got.String() != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, bad := range map[string][]byte{"no archive": []byte("<html>"), "line feed": module(t, "a\nb", "x")} {
		if _, err := moduleHash(bytes.NewReader(bad), int64(len(bad)), "v1.0.0.zip"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	bomb := module(t, "zeros", strings.Repeat("\x00", 1<<20))
	z, err := zip.NewReader(bytes.NewReader(bomb), int64(len(bomb)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sumEntry(z.File[0], 1<<20-1); err == nil {
		t.Error("an archive may be larger than allowed")
	}
	if _, _, err := sumEntry(z.File[0], 1<<20); err != nil {
		t.Error(err)
	}
}
