package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
	"github.com/MordragT/nuka/source/archive"
)

// A packedProgram is a PROGRAM of exec that is no executable of this machine: an archive, or a URL. It is unpacked, and its files become a package like
// those of --with.
type packedProgram struct {
	word   string // what the user named
	url    bool
	name   string // of the file, without the extension of an archive
	ending string // that extension; "" is an executable
	app    string // the application that it is
	image  bool   // it is an AppImage

	dir     string // the folder in which it is unpacked: tree, and the package file of it
	program string // below tree, with slashes
}

// debEnding is the extension of a Debian package.
const debEnding = ".deb"

// imageEnding is the extension that most AppImages have. What counts is the mark in the file.
const imageEnding = ".AppImage"

// archiveEndings are the extensions of archives that exec unpacks.
var archiveEndings = []string{debEnding, ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst", ".tgz", ".txz", ".tbz2", ".tzst", ".tar", ".zip"}

// packedOf returns the program that word names, if it is a URL or the file of an archive.
func packedOf(word string) *packedProgram {
	p := &packedProgram{word: word, url: strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "http://")}
	base := path.Base(filepath.ToSlash(word))
	if p.url {
		base, _, _ = strings.Cut(base, "?")
	}
	for _, ending := range archiveEndings {
		if rest, ok := strings.CutSuffix(base, ending); ok && rest != "" {
			base, p.ending = rest, ending
			break
		}
	}
	p.name = foreign.AppName(strings.TrimSuffix(base, imageEnding))
	if p.url {
		return p
	}
	if info, err := os.Stat(word); !strings.Contains(word, "/") || err != nil || !info.Mode().IsRegular() || p.ending == "" && !isAppImage(word) {
		return nil
	}
	return p
}

// isAppImage reports whether a file can be read and is an AppImage.
func isAppImage(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	return archive.IsAppImage(f)
}

// openPacked unpacks the PROGRAM of exec, if it is an archive or a URL, and chooses its program. nil: it is neither.
func (a *app) openPacked(ctx context.Context, word string, o *execOptions) (*packedProgram, error) {
	p := packedOf(word)
	switch {
	case p == nil && (o.hash != "" || o.command != ""):
		return nil, protocol.Errorf(protocol.Invalid, "exec: --hash and --command are for a program out of a URL or an archive, and %s is neither", word)
	case p == nil:
		return nil, nil
	case p.url && o.hash == "":
		return nil, protocol.Errorf(protocol.Invalid, "exec: %s: --hash is missing", word).
			WithHint("give the SHA-256 that the publisher names, so that nobody else's program runs: --hash sha256-…")
	case !p.url && o.hash != "":
		return nil, protocol.Errorf(protocol.Invalid, "exec: --hash is for a URL, and %s is a file of this machine", word)
	}
	file, named := word, word
	var err error
	if p.url {
		var done func()
		if file, done, err = a.fetchedProgram(ctx, p, o); err == nil {
			defer done()
		}
	} else {
		named, err = filepath.Abs(word)
	}
	if err != nil {
		return nil, err
	}
	p.app = foreign.AppOfFile(named)
	p.image = p.ending == "" && isAppImage(file)
	if err := p.unpack(ctx, file, a.home.Unpacked()); err != nil {
		coded := protocol.Errorf(cmp.Or(protocol.CodeOf(err), protocol.Invalid), "exec: %s: %w", word, err)
		if why := (*protocol.Error)(nil); errors.As(err, &why) {
			coded.Hint = why.Hint
		}
		return nil, coded
	}
	return p, p.choose(o.command)
}

// fetchedProgram fetches the file of a URL, as the package source fetch url, and returns where it is until done is called.
func (a *app) fetchedProgram(ctx context.Context, p *packedProgram, o *execOptions) (at string, done func(), err error) {
	dir, err := os.MkdirTemp("", "nuka-exec-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system removes what is left
	file := filepath.Join(dir, "program.nu")
	address, addressErr := nuon.Encode(p.word)
	hash, hashErr := nuon.Encode(o.hash)
	text := fmt.Sprintf("export def main [] { fetch url %s --unpack file --hash %s }\n", address, hash)
	if err := errors.Join(addressErr, hashErr, os.WriteFile(file, []byte(text), 0o600)); err != nil {
		return "", nil, err
	}
	client, results, err := a.evalAll(ctx, []asked{{pkg: file, set: a.set}})
	if err != nil {
		return "", nil, err
	}
	state, err := a.shown(ctx, client, results, &o.build)
	if err != nil {
		return "", nil, errors.Join(err, client.Close())
	}
	return filepath.Join(state.Path, results[0].Root.String()), func() { _ = client.Close() }, nil
}

// unpack unpacks a file below folder, in a folder that its SHA-256 names, unless it is there.
func (p *packedProgram) unpack(ctx context.Context, file, folder string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	p.dir = filepath.Join(folder, p.name+p.ending+"-"+hex.EncodeToString(sum.Sum(nil))[:32])
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	now := time.Now()
	if os.Chtimes(p.dir, now, now) == nil {
		return nil
	}
	half, err := os.MkdirTemp(folder, "half-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(half) //nolint:errcheck // the node removes what is left
	if err := p.fill(ctx, file, filepath.Join(half, "tree")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(half, p.name+".nu"), []byte("export def main [] { fetch path ./tree --all }\n"), 0o600); err != nil {
		return err
	}
	if err := atomicfile.SyncTree(half); err != nil {
		return err
	}
	err = atomicfile.Rename(half, p.dir)
	if _, there := os.Stat(p.dir); there == nil { // another run was faster
		err = nil
	}
	return err
}

// fill makes tree of a file: what it has packed, or the file alone as an executable.
func (p *packedProgram) fill(ctx context.Context, file, tree string) error {
	if err := os.Mkdir(tree, 0o700); err != nil {
		return err
	}
	if p.ending != "" || p.image {
		deb := p.ending == debEnding
		_, err := archive.UnpackFile(ctx, file, tree, &archive.Options{Deb: deb, Control: deb})
		return err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tree, p.name), b, 0o700)
}

// choose sets the program: the one with that name, or the only one.
func (p *packedProgram) choose(command string) error {
	tree := filepath.Join(p.dir, "tree")
	if p.image && command == "" {
		p.program = "AppRun"
		return nil
	}
	var all, links []string
	err := filepath.WalkDir(tree, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(tree, at)
		switch {
		case err != nil:
			return err
		case e.Type()&fs.ModeSymlink != 0:
			if to, err := filepath.EvalSymlinks(at); err == nil && within(tree, to) && executable(to) {
				links = append(links, filepath.ToSlash(rel))
			}
		case executable(at):
			all = append(all, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := all
	if command != "" {
		found = slices.DeleteFunc(append(slices.Clone(all), links...), func(at string) bool { return at != command && path.Base(at) != command })
	} else if places := slices.DeleteFunc(slices.Clone(all), func(at string) bool { return !commandPlace(at) }); len(places) > 0 {
		found = places
	}
	if len(found) == 1 {
		p.program = found[0]
		return nil
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
	})
	switch {
	case len(all) == 0:
		return protocol.Errorf(protocol.Invalid, "exec: %s has no program", p.word)
	case len(found) == 0:
		return protocol.Errorf(protocol.NotFound, "exec: %s has no program %s", p.word, command).WithHint("it has %s", printable(shortList(all, 10)))
	}
	return protocol.Errorf(protocol.Invalid, "exec: %s has several programs", p.word).WithHint("choose one with --command: %s", printable(shortList(all, 10)))
}

// commandPlace reports whether a path is where archives have their commands: at the top, in bin, or in one of these in the only top folder.
func commandPlace(at string) bool {
	dir := path.Dir(at)
	if top, rest, ok := strings.Cut(dir, "/"); ok && top != "usr" {
		dir = rest
	}
	return dir == "bin" || dir == "usr/bin" || dir == "usr/games" || !strings.Contains(dir, "/") && path.Base(dir) != "lib" && path.Base(dir) != "libexec" && path.Base(dir) != "DEBIAN"
}

// executable reports whether a file can be started: it is executable, and an ELF file or a script.
func executable(at string) bool {
	info, err := os.Lstat(at)
	if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || strings.Contains(path.Base(at), ".so") {
		return false
	}
	f, err := os.Open(at)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	head := make([]byte, 4)
	n, _ := io.ReadFull(f, head)
	return bytes.HasPrefix(head[:n], []byte("#!")) || string(head[:n]) == "\x7fELF"
}

// asked returns the package of the program.
func (p *packedProgram) asked(set string) asked {
	return asked{pkg: filepath.Join(p.dir, p.name+".nu"), set: set}
}

// place returns the results that make the runtime, and where the program is in it. The files of a Debian package are part of the runtime; others are beside
// it, in /opt.
func (a *app) place(ctx context.Context, client *control.Client, box *foreign.Box, p *packedProgram, results []*nu.Result, o *execOptions) ([]*nu.Result, string, error) {
	if p.ending == debEnding {
		return results, "/" + p.program, nil
	}
	own := results[len(results)-1]
	state, err := a.shown(ctx, client, []*nu.Result{own}, &o.build)
	if err != nil {
		return nil, "", err
	}
	at := "/opt/" + p.name
	dir := filepath.Join(state.Path, own.Root.String())
	box.Packages = append(box.Packages, sandbox.Mount{Kind: sandbox.RO, Source: dir, Target: at})
	if p.image { // what the executable before the image sets, and whose libraries it needs beside its own
		o.env = append([]string{"APPDIR=" + at, "ARGV0=" + p.word, "OWD=" + box.Here}, o.env...)
		o.parts = append(o.parts, foreign.Part{Dir: dir, Inside: at, Own: true})
	}
	return results[:len(results)-1], at + "/" + p.program, nil
}
