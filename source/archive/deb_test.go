package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/protocol"
)

func debOf(control, data []byte) []byte {
	return makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"control.tar", string(control)}, arEntry{"data.tar", string(data)})
}

func TestUnpackDebRaw(t *testing.T) {
	script := file("./postinst", "#!/bin/sh\n")
	script.Mode = 0o755
	control := makeTar(t, special("./", tar.TypeDir, ""), file("./control", "Package: x\n"), script)
	got, err := unpackIn(t, debOf(control, makeTar(t, file("./usr/x", "x"))), &Options{Deb: true, Control: true})
	want := map[string]string{"DEBIAN": "dir", "DEBIAN/control": "Package: x\n", "DEBIAN/postinst": "#!/bin/sh\n (x)", "usr": "dir", "usr/x": "x"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	// A package without data, such as a metapackage.
	got, err = unpackIn(t, debOf(control, makeTar(t, special("./", tar.TypeDir, ""))), &Options{Deb: true, Control: true})
	delete(want, "usr")
	delete(want, "usr/x")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

// TestRawExtract compares a tree with that of `dpkg-deb --raw-extract`.
func TestRawExtract(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("no dpkg-deb")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "src")
	for name, body := range map[string]string{
		"DEBIAN/control": "Package: demo\nVersion: 1\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: demo\n", "DEBIAN/postinst": "#!/bin/sh\nexit 0\n",
		"DEBIAN/conffiles": "/etc/demo.conf\n", "etc/demo.conf": "x\n", "usr/share/doc/demo/copyright": "mine\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if name == "DEBIAN/postinst" {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(src, name), []byte(body), mode); err != nil {
			t.Fatal(err)
		}
	}
	deb, raw := filepath.Join(dir, "demo.deb"), filepath.Join(dir, "raw")
	for _, args := range [][]string{{"--root-owner-group", "--build", src, deb}, {"--raw-extract", deb, raw}} {
		if out, err := exec.Command("dpkg-deb", args...).CombinedOutput(); err != nil {
			t.Fatalf("dpkg-deb %v: %v\n%s", args, err, out)
		}
	}
	body, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	got, err := unpackIn(t, body, &Options{Deb: true, Control: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	err = filepath.WalkDir(raw, func(at string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel(raw, at)
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() {
			want[name] = "dir"
			return nil
		}
		body, err := os.ReadFile(at)
		info, e := d.Info()
		if want[name] = string(body); e == nil && info.Mode()&0o111 != 0 {
			want[name] += " (x)"
		}
		return err
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-dpkg-deb +got)\n%s", err, diff)
	}
}

// TestHostileControl has control archives that no package has, and data that would lie among its files.
func TestHostileControl(t *testing.T) {
	control, plain := makeTar(t, file("./control", "Package: x\n")), makeTar(t, file("./a", "x"))
	with := func(list ...entry) []byte {
		return makeTar(t, append([]entry{file("./control", "Package: x\n")}, list...)...)
	}
	var many []entry
	for i := range maxControlFiles {
		many = append(many, file(fmt.Sprint("f", i), ""))
	}
	zeros := strings.Repeat("\x00", 1<<20)
	bomb := pack(t, with(file("postinst", zeros)), func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	huge := func() []byte { // a header that declares more than the bound
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "control", Typeflag: tar.TypeReg, Size: maxControlBytes + 1}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}()
	for name, tt := range map[string]struct {
		deb  []byte
		want string
		code protocol.Code
	}{
		"above":          {debOf(with(file("../x", "")), plain), "leads out", protocol.Invalid},
		"absolute above": {debOf(with(file("/../x", "")), plain), "leads out", protocol.Invalid},
		"folder":         {debOf(with(special("d/", tar.TypeDir, "")), plain), "plain files only", protocol.Invalid},
		"in a folder":    {debOf(with(file("d/x", "")), plain), "plain files only", protocol.Invalid},
		"device":         {debOf(with(special("postinst", tar.TypeChar, "")), plain), "plain files only", protocol.Invalid},
		"pipe":           {debOf(with(special("postinst", tar.TypeFifo, "")), plain), "plain files only", protocol.Invalid},
		"link":           {debOf(with(special("postinst", tar.TypeSymlink, "/etc/passwd")), plain), "plain files only", protocol.Invalid},
		"hard link":      {debOf(with(special("postinst", tar.TypeLink, "control")), plain), "plain files only", protocol.Invalid},
		"the root":       {debOf(with(special("./", tar.TypeSymlink, "/")), plain), "plain files only", protocol.Invalid},
		"many files":     {debOf(with(many...), plain), "more than 1000 files", protocol.Invalid},
		"huge":           {debOf(huge, plain), "more than 67108864 bytes", protocol.Invalid},
		"bomb":           {debOf(bomb, plain), "limit of 524288 bytes", protocol.Exhausted},
		"no control":     {debOf(makeTar(t, file("postinst", "")), plain), "no file control", protocol.Invalid},
		"no tar":         {debOf([]byte("x"), plain), "no archive of a known format", protocol.Invalid},
		"two": {makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"control.tar", string(control)}, arEntry{"control.tar.gz", string(control)}, arEntry{"data.tar", string(plain)}),
			"where dpkg wants data.tar", protocol.Invalid},
		"none":               {makeAr(arEntry{"debian-binary", "2.0\n"}, arEntry{"data.tar", string(plain)}), "where dpkg wants control.tar", protocol.Invalid},
		"data in DEBIAN":     {debOf(control, makeTar(t, file("./DEBIAN/postinst", "x"))), "folder of its control archive", protocol.Invalid},
		"DEBIAN as a folder": {debOf(control, makeTar(t, special("DEBIAN/", tar.TypeDir, ""))), "folder of its control archive", protocol.Invalid},
		"DEBIAN as a file":   {debOf(control, makeTar(t, file("DEBIAN", "x"))), "folder of its control archive", protocol.Invalid},
		"DEBIAN as a link":   {debOf(control, makeTar(t, special("DEBIAN", tar.TypeSymlink, "/etc"))), "folder of its control archive", protocol.Invalid},
		"a link to control":  {debOf(control, makeTar(t, special("x", tar.TypeLink, "DEBIAN/control"))), "hard link to a file of the control", protocol.Invalid},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			got, err := unpackIn(t, tt.deb, &Options{Deb: true, Control: true, Limits: Limits{Unpacked: 1 << 19, Files: 5000}})
			if name == "huge" {
				got, err = unpackIn(t, tt.deb, &Options{Deb: true, Control: true})
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || protocol.CodeOf(err) != tt.code {
				t.Errorf("got %v with %v, want %q", got, err, tt.want)
			}
		})
	}
}
