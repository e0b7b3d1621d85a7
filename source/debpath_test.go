package source

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/source/kind"
)

// makeDebPackage makes a Debian package with one file of data and the given version in its control file.
func makeDebPackage(t *testing.T, version string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar", makeTar(t, file("./control", "Package: x\nVersion: "+version+"\n"), file("./postinst", "#!/bin/sh\n"))},
		{"data.tar", makeTar(t, file("./usr/share/x", version))},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		b.Write(m.body)
		if len(m.body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// TestDebPath fetches a version that no index lists by its path, from the second of two repositories, and a listed one whose path is wrong.
func TestDebPath(t *testing.T) {
	old, listed := makeDebPackage(t, "1"), makeDebPackage(t, "2")
	var asked []string
	files := map[string][]byte{
		"/other/pool/x_1.deb":     old,
		"/main/pool/x_2+b1~.deb":  listed,
		"/main/pool/wrong.deb":    []byte("not the package"),
		"/main/pool/x_1%3a3.deb":  old,
		"/main/dists/s/Release":   {},
		"/main/flat/Packages":     []byte("Package: x\nVersion: 2\nFilename: pool/x_2+b1~.deb\n"),
		"/other/flat/Packages.gz": nil,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		body, ok := files[r.URL.Path]
		if !ok || body == nil {
			http.NotFound(w, r)
			return
		}
		w.Write(body)
	}))
	defer server.Close()
	system := t.TempDir()
	writeFiles(t, system, server.URL, map[string]string{"etc/apt/sources.list": "deb BASE/main flat/\ndeb BASE/main flat/\ndeb BASE/other flat/\n"})
	f := fetcher(Options{Client: &Client{System: system}, Retries: -1})
	for _, c := range []struct {
		version, path string
		want          []byte
		asked         int // requests
	}{
		{"1", "pool/x_1.deb", old, 2},           // found in the second repository; no index is downloaded
		{"2", "pool/x_2+b1~.deb", listed, 1},    // a plus sign and a tilde stay as they are
		{"1:3", "pool/x_1%3a3.deb", old, 1},     // the name of the file has a percent sign
		{"2", "pool/absent.deb", listed, 2 + 4}, // nowhere: by the index
		{"2", "pool/wrong.deb", listed, 2 + 4},  // other bytes: by the index
	} {
		asked = nil
		dir := t.TempDir()
		_, err := f.Fetch(t.Context(), &Request{
			Origins: []Origin{{Kind: Deb, Name: "x", Version: c.version, Flags: kind.Fields{"path": c.path}}},
			Hash:    sha(c.want), Unpack: pir.UnpackDebRaw, Dir: dir,
		})
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		var got []string
		filepath.WalkDir(filepath.Join(dir, Out), func(at string, d os.DirEntry, _ error) error { //nolint:errcheck // it returns none
			if !d.IsDir() {
				got = append(got, strings.TrimPrefix(at, filepath.Join(dir, Out)+"/"))
			}
			return nil
		})
		if diff := cmp.Diff([]string{"DEBIAN/control", "DEBIAN/postinst", "usr/share/x"}, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.path, diff)
		}
		if len(asked) != c.asked {
			t.Errorf("%s: got the requests %v, want %d", c.path, asked, c.asked)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(system, "*.part")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestDebPathRefuses has paths that would lead out of the repository, or to another host.
func TestDebPathRefuses(t *testing.T) {
	for _, at := range []string{
		"../x.deb", "pool/../../x.deb", "pool/..", "/pool/x.deb", "//host/x.deb", "http://host/x.deb", "http:x.deb", "pool//x.deb", "pool/./x.deb", "./x.deb",
		"pool/", "pool/x.deb?a", "pool/x.deb#a", `pool\x.deb`, "pool/x y.deb", "pool/x\x00.deb", "pool/é.deb", "pool/.hidden", "@host/x", strings.Repeat("a/", 600) + "x",
	} {
		o := Origin{Kind: Deb, Name: "x", Version: "1", Flags: kind.Fields{"path": at}}
		if b, err := o.Encode(); err == nil {
			t.Errorf("%q: got %s, want an error", at, b)
		}
	}
	for _, at := range []string{"pool/main/z/zlib/zlib1g_1.2.13.dfsg-1_amd64.deb", "x.deb", "pool/updates/main/c/c++_1+b1~x_all.deb", "pool/x_1%3a2.deb"} {
		o := Origin{Kind: Deb, Name: "x", Version: "1", Flags: kind.Fields{"path": at}}
		if _, err := o.Encode(); err != nil {
			t.Error(err)
		}
	}
}
