package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source"
	"github.com/MordragT/nuka/source/kind"
)

var packageName = lazyregexp.New(`^[a-z0-9][a-z0-9._+-]{0,99}$`)

func (a *app) newCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "new NAME SOURCE",
		Short: "write a first package file from a source",
		Long: `New downloads a source once to learn its hash, and writes NAME.nu into the current folder: the fetch with its hash, version, license and
description as far as the source tells them, and a build as far as nuka can do it. It replaces no file. SOURCE is one of

  https://example.org/x-1.2.tar.gz      an archive or file at an address
  git+https://example.org/x.git#v1.2    a tag or commit of a repository
  npm:NAME@VERSION    pypi:NAME@VERSION    crate:NAME@VERSION
  go:MODULE@VERSION   deb:NAME@VERSION     debsrc:NAME@VERSION (with Debian's patches)
  ./folder                              a folder beside the package file`,
		Example: "  nuka new figlet https://example.org/figlet-2.2.5.tar.gz\n  nuka new is-odd npm:is-odd@3.0.1",
		Args:    exactArgs("NAME", "SOURCE"),
	}
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network")
	c.RunE = func(c *cobra.Command, words []string) error {
		name := words[0]
		if !packageName().MatchString(name) {
			return protocol.Errorf(protocol.Invalid, "new: %.80q cannot be the name of a package: want lower-case letters, digits and . _ + -", name).
				WithHint("the file gets this name: %s.nu", "figlet")
		}
		file := name + ".nu"
		if _, err := os.Lstat(file); err == nil {
			return alreadyThere(file)
		}
		d, err := a.draft(c.Context(), name, words[1])
		if err != nil {
			return err
		}
		if err := createFile(file, d.text()); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return alreadyThere(file)
			}
			return protocol.Errorf(protocol.Denied, "new: %w", err).WithHint("the current folder must be writable")
		}
		fmt.Fprintln(a.out, file)
		for _, note := range d.notes {
			a.say("%s", note)
		}
		a.hint(fmt.Sprintf("read it, then: nuka lint ./%s; nuka build ./%s", file, file))
		return nil
	}
	return c
}

func alreadyThere(file string) error {
	return protocol.Errorf(protocol.Invalid, "new: there is a file %s, and new replaces none", file).WithHint("choose another name, or remove the file")
}

// createFile writes a new file. If it fails, it leaves none.
func createFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // a source file
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// parseSource returns the origin that SOURCE names; a folder has none.
func parseSource(text string) (*source.Origin, error) {
	bad := func(format string, args ...any) error {
		return protocol.Errorf(protocol.Invalid, "new: "+format, args...).WithHint("see: nuka new --help")
	}
	if rest, ok := strings.CutPrefix(text, "git+"); ok {
		address, rev, _ := strings.Cut(rest, "#")
		if rev == "" {
			return nil, bad("%s names no tag or commit: write it after #, such as #v1.2", text)
		}
		return &source.Origin{Kind: source.Git, URL: address, Flags: kind.Fields{"rev": rev}}, nil
	}
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
		return &source.Origin{Kind: source.URL, URL: text}, nil
	}
	name, rest, ok := strings.Cut(text, ":")
	k := source.Table().Find(name)
	switch {
	case !ok && !strings.Contains(text, "://"):
		if info, err := os.Stat(text); err != nil || !info.IsDir() {
			return nil, protocol.Errorf(protocol.NotFound, "new: there is no folder %s", text).WithHint("see: nuka new --help")
		}
		return nil, nil
	case k == nil || len(k.Args) != 2:
		return nil, bad("%q is no kind of source", name)
	}
	i := strings.LastIndex(rest, "@")
	if i <= 0 || i == len(rest)-1 {
		return nil, bad("%s names no version: write %s:NAME@VERSION", text, name)
	}
	o := &source.Origin{Kind: source.OriginKind(name), Name: rest[:i], Version: rest[i+1:]}
	if _, ok := k.Field("patches"); ok { // the source as Debian builds it, with its fixes and its record of licenses
		o.Flags = kind.Fields{"patches": "true"}
	}
	return o, nil
}

// A draft is a package file that new writes.
type draft struct {
	name        string
	fetch       string // the source, in Nushell
	version     string
	license     string
	description string
	uses        []string // modules
	packages    []string // inputs
	build       []string // lines of the closure
	comments    []string // above the build: what the author has to do
	notes       []string // for the terminal
}

// draft gets the source and makes a package of it.
func (a *app) draft(ctx context.Context, name, where string) (*draft, error) {
	origin, err := parseSource(where)
	if err != nil {
		return nil, err
	}
	d := &draft{name: name}
	if origin == nil {
		rel := filepath.ToSlash(filepath.Clean(where))
		if !filepath.IsLocal(where) {
			return nil, protocol.Errorf(protocol.Invalid, "new: %s is not in the current folder, and a package file sees only files beside it", where).
				WithHint("copy the folder here first, or run new in the folder above it")
		}
		d.fetch = "(fetch path " + nuWord("./"+rel) + ")"
		root, err := os.OpenRoot(where)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		d.learn(nu.Sources(root.FS(), nu.PathOptions{}), where)
		return d, nil
	}
	if a.offline {
		return nil, protocol.Errorf(protocol.Offline, "new: the network is needed and may not be used").WithHint("run it without --offline")
	}
	temp, err := os.MkdirTemp("", "nuka-new-")
	if err != nil {
		return nil, err
	}
	defer removeAll(temp)
	k := source.Table().Find(string(origin.Kind))
	request := &source.Request{Origins: []source.Origin{*origin}, Dir: temp, Unpack: pir.UnpackArchive}
	fields := kind.Fields{"url": origin.URL, "name": origin.Name, "version": origin.Version}
	if k.Unpacked != nil {
		request.Unpack = k.Unpacked(fields)
	}
	if k.Stripped != nil {
		request.Strip = k.Stripped(fields)
	}
	a.say("fetching %s to learn its hash", origin)
	hash, err := source.New(&source.Options{Client: a.client()}).Fetch(ctx, request)
	if err != nil {
		return nil, err
	}
	out := filepath.Join(temp, source.Out)
	tree, strip, err := d.tree(ctx, out, origin, &hash)
	if err != nil {
		return nil, err
	}
	d.fetch = fetchText(origin, hash, strip)
	if tree == nil {
		d.file(path.Base(origin.URL))
		return d, nil
	}
	switch d.version = origin.Version; origin.Kind {
	case source.Git:
		d.version = strings.TrimPrefix(origin.Flags["rev"], "v")
	case source.Go:
		d.version = strings.TrimPrefix(d.version, "v")
	case source.Deb, source.DebSrc: // that of the author, without Debian's epoch and revision
		if _, after, ok := strings.Cut(d.version, ":"); ok {
			d.version = after
		}
		if i := strings.LastIndex(d.version, "-"); i > 0 {
			d.version = d.version[:i]
		}
	}
	d.learn(tree, path.Base(origin.URL))
	return d, nil
}

// tree returns the files of a fetched source, or nil if it is one file. If an archive from a URL has one folder at its top, tree steps into it: hash
// becomes that of the folder, which --strip 1 gives.
func (d *draft) tree(ctx context.Context, out string, origin *source.Origin, hash *pir.Hash) (tree fs.FS, strip int, err error) {
	if info, err := os.Stat(out); err != nil || !info.IsDir() {
		return nil, 0, err
	}
	tree, err = rootOf(out)
	if err != nil || origin.Kind != source.URL {
		return tree, 0, err
	}
	list, err := fs.ReadDir(tree, ".")
	if err != nil || len(list) != 1 || !list[0].IsDir() {
		return tree, 0, err
	}
	if tree, err = rootOf(filepath.Join(out, list[0].Name())); err != nil {
		return nil, 0, err
	}
	id, err := cid.HashTree(ctx, tree, nil)
	if err != nil {
		return nil, 0, err
	}
	*hash = pir.HashOf(id)
	return tree, 1, nil
}

// fetchText returns the fetch of an origin.
func fetchText(o *source.Origin, hash pir.Hash, strip int) string {
	words := []string{"fetch", string(o.Kind)}
	for _, text := range []string{o.URL, o.Name, o.Version} {
		if text != "" {
			words = append(words, nuWord(text))
		}
	}
	if rev := o.Flags["rev"]; rev != "" {
		words = append(words, "--rev", nuWord(rev))
	}
	if o.Flags["patches"] != "" {
		words = append(words, "--patches")
	}
	if strip > 0 {
		words = append(words, fmt.Sprintf("--strip %d", strip))
	}
	return "(" + strings.Join(append(words, "--hash", hash.String()), " ") + ")"
}

var plainWord = lazyregexp.New(`^[A-Za-z./][A-Za-z0-9./:_@+-]*$`)

// nuWord returns a text as a word of Nushell, quoted if need be.
func nuWord(s string) string {
	if plainWord().MatchString(s) && !slices.Contains([]string{"true", "false", "null", "nan", "inf", "infinity"}, strings.ToLower(s)) {
		return s
	}
	return nuString(s)
}

// nuString returns a text as a double-quoted string of Nushell.
func nuString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ", "\t", " ").Replace(printable(s)) + `"`
}

// text returns the package file.
func (d *draft) text() string {
	var b strings.Builder
	description := strings.Join(strings.Fields(printable(d.description)), " ")
	if description == "" {
		description = "Say here in one line what " + d.name + " is: nuka search shows it."
	}
	fmt.Fprintf(&b, "# %s\n", description)
	for _, u := range d.uses {
		fmt.Fprintf(&b, "use %s\n", u)
	}
	fmt.Fprintf(&b, "\nexport def main [] {\n  derivation {\n    name: %s\n", nuWord(d.name))
	if d.version != "" {
		fmt.Fprintf(&b, "    version: %s\n", nuString(d.version))
	}
	if d.license != "" {
		fmt.Fprintf(&b, "    license: %s\n", nuString(d.license))
	} else {
		b.WriteString("    # The source does not say its license in a way that nuka reads: add license: with an SPDX identifier.\n")
	}
	fmt.Fprintf(&b, "    src: %s\n", d.fetch)
	if len(d.packages) > 0 {
		fmt.Fprintf(&b, "    packages: [%s]\n", strings.Join(d.packages, " "))
	}
	for _, c := range d.comments {
		fmt.Fprintf(&b, "    # %s\n", c)
	}
	b.WriteString("    build: {|b|\n")
	for _, line := range d.build {
		fmt.Fprintf(&b, "      %s\n", line)
	}
	b.WriteString("    }\n  }\n}\n")
	return b.String()
}
