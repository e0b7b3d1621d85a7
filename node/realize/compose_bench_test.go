package realize

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/MordragT/nuka/cas"
	"github.com/MordragT/nuka/cas/castest"
	"github.com/MordragT/nuka/fhs"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
)

// debTree is a tree like that of a Debian package with 100 files, a quarter of them executable, 25 folders and 10 links.
func debTree(n int) fstest.MapFS {
	name := fmt.Sprint("package", n)
	t := fstest.MapFS{
		"DEBIAN/control":  {Data: []byte("Package: " + name + "\n"), Mode: 0o644},
		"DEBIAN/postinst": {Data: fmt.Appendf(nil, "#!/bin/sh\nupdate-alternatives --install /usr/bin/tool tool /usr/bin/tool0.%d %d\n", n, n), Mode: 0o755},
	}
	for i := range 98 {
		f := &fstest.MapFile{Data: fmt.Append(nil, n, i), Mode: 0o644}
		at := fmt.Sprintf("usr/share/%s/folder%d/file%d", name, i%20, i)
		if i%4 == 0 {
			f.Mode, at = 0o755, fmt.Sprintf("bin/tool%d.%d", i, n)
		}
		t[at] = f
	}
	for i := range 10 {
		t[fmt.Sprintf("usr/lib/x/%s.so.%d", name, i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "%s.so.1.%d", name, i), Mode: 0o777 | 1<<27}
	}
	return t
}

// certificateTree is a tree with 140 files of certificates, as ca-certificates has.
func certificateTree() fstest.MapFS {
	t := fstest.MapFS{"DEBIAN/control": {Data: []byte("Package: ca-certificates\n"), Mode: 0o644}}
	for i := range 140 {
		t[fmt.Sprintf("usr/share/ca-certificates/mozilla/%d.crt", i)] = &fstest.MapFile{Data: fmt.Appendf(make([]byte, 1500), "%d\n", i), Mode: 0o644}
	}
	return t
}

// BenchmarkCompose composes environments of packages of 100 files: of 60 in a store that was just opened, of 60 again, and of 600, in all of which
// one file is new each time.
func BenchmarkCompose(b *testing.B) {
	for _, c := range []struct {
		name     string
		packages int
		first    bool
		layout   pir.Layout
	}{{"first/60", 60, true, pir.LayoutFHS1}, {"warm/60", 60, false, pir.LayoutFHS1}, {"warm/600", 600, false, pir.LayoutFHS1}, {"merge/60", 60, false, ""}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			s, err := cas.Open(dir, nil)
			if err != nil {
				b.Fatal(err)
			}
			var parts []cid.CID
			add := func(tree fstest.MapFS) {
				root, err := s.Import(b.Context(), tree, nil)
				if err != nil {
					b.Fatal(err)
				}
				parts = append(parts, root)
			}
			for i := range c.packages - 2 {
				add(debTree(i))
			}
			add(certificateTree())
			add(nil)
			var leave []string
			if c.layout == "" {
				leave = []string{"DEBIAN"}
			}
			least := time.Hour
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				parts = parts[:c.packages-1]
				add(fstest.MapFS{"DEBIAN/control": {Data: []byte("Package: new\n"), Mode: 0o644}, "etc/new": {Data: fmt.Append(nil, n), Mode: 0o644}})
				if c.first {
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
					if s, err = cas.Open(dir, nil); err != nil {
						b.Fatal(err)
					}
				}
				var packages []fhs.Package
				for i := range parts {
					packages = append(packages, fhs.Package{Name: fmt.Sprint(i), Merge: pir.Merge{Leave: leave}})
				}
				b.StartTimer()
				start := time.Now()
				if _, _, err := compose(b.Context(), s, c.layout, packages, &cas.ComposeOptions{Parts: parts}); err != nil {
					b.Fatal(err)
				}
				least = min(least, time.Since(start))
			}
			b.ReportMetric(least.Seconds()*1000, "ms-least")
			castest.Check(b, s)
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
