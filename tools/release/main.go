// Release builds nuka for a system and packs it: an archive with the programs, their documentation and service files, a list of the modules
// in the programs (CycloneDX), and the checksums of both. The same sources and the same Go give the same bytes.
//
// `make release` runs it. With -twice it builds again, from an empty build cache, and compares every byte.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// programs are the programs of a release.
var programs = []string{"nuka", "nukad", "nuka-sandbox"}

func main() {
	out := flag.String("o", "dist", "the folder for the results")
	system := flag.String("for", runtime.GOOS+"/"+runtime.GOARCH, "the system, OS/ARCH")
	twice := flag.Bool("twice", false, "build twice and compare")
	flag.Parse()
	if err := run(*out, *system, *twice); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(out, system string, twice bool) error {
	goos, arch, ok := strings.Cut(system, "/")
	if !ok {
		return fmt.Errorf("%q is not OS/ARCH", system)
	}
	files, err := release(goos, arch, "")
	if err != nil {
		return err
	}
	if twice {
		cache, err := os.MkdirTemp("", "nuka-release-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(cache)
		again, err := release(goos, arch, cache)
		if err != nil {
			return err
		}
		for name, content := range files {
			if !bytes.Equal(content, again[name]) {
				return fmt.Errorf("two builds of %s differ", name)
			}
		}
		fmt.Println("two builds, the second from an empty cache: the same bytes")
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	fmt.Print(string(files["SHA256SUMS-"+goos+"-"+arch]))
	return nil
}

// release returns the files of a release by name. It builds in cache, or in the user's build cache if cache is "".
func release(goos, arch, cache string) (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "nuka-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", dir + string(filepath.Separator)}
	for _, program := range programs {
		args = append(args, "./cmd/"+program)
	}
	build := exec.Command("go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+arch)
	if cache != "" {
		build.Env = append(build.Env, "GOCACHE="+cache)
	}
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build for %s/%s: %w", goos, arch, err)
	}
	suffix := ""
	if goos == "windows" {
		suffix = ".exe"
	}
	version, err := versionOf()
	if err != nil {
		return nil, err
	}
	name := "nuka-" + version + "-" + goos + "-" + arch
	p := &packer{top: name}
	for _, program := range programs {
		p.add(filepath.Join(dir, program+suffix), "bin/"+program+suffix, 0o755)
	}
	for _, doc := range []string{"README.md", "ARCHITECTURE.md", "RATIONALE.md"} {
		p.add(doc, "share/doc/nuka/"+doc, 0o644)
	}
	p.folder("docs", "share/doc/nuka/docs")
	p.folder("tools/service", "share/nuka/service")
	archive, err := p.archive()
	if err != nil {
		return nil, err
	}
	var built []string
	for _, program := range programs {
		built = append(built, filepath.Join(dir, program+suffix))
	}
	bom, err := billOfMaterials(version, built...)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{name + ".tar.gz": archive, name + ".cdx.json": bom}
	var sums strings.Builder
	for _, file := range []string{name + ".cdx.json", name + ".tar.gz"} {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(files[file]), file)
	}
	files["SHA256SUMS-"+goos+"-"+arch] = []byte(sums.String())
	return files, nil
}

// versionOf returns the version in the source of the command.
func versionOf() (string, error) {
	b, err := os.ReadFile("cmd/nuka/main.go")
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(b), "\nconst version = \"")
	version, _, end := strings.Cut(rest, "\"")
	if !ok || !end {
		return "", errors.New("cmd/nuka/main.go has no constant version")
	}
	return version, nil
}

// A packer collects the files of an archive.
type packer struct {
	top   string
	files []packed
	err   error
}

type packed struct {
	name    string
	mode    int64
	content []byte
}

func (p *packer) add(from, name string, mode int64) {
	content, err := os.ReadFile(from)
	p.err = errors.Join(p.err, err)
	p.files = append(p.files, packed{path.Join(p.top, name), mode, content})
}

func (p *packer) folder(from, to string) {
	err := filepath.WalkDir(from, func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err == nil {
			p.add(file, path.Join(to, filepath.ToSlash(rel)), 0o644)
		}
		return err
	})
	p.err = errors.Join(p.err, err)
}

// archive returns a gzipped tar of the files, sorted by name. It has no times and no users, so that the same files give the same bytes.
func (p *packer) archive() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	slices.SortFunc(p.files, func(a, b packed) int { return strings.Compare(a.name, b.name) })
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zip)
	for _, f := range p.files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
