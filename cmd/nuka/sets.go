package main

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/packages"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// A found is a package file and what an evaluation of it sees.
type found struct {
	mounts []nu.Mount
	file   string
	// name names the package whatever sets are added or what their order is.
	name string
	// set and tree are the set that the user added and that has the file, and its folder; nil and "" for the embedded set, the set of
	// --packages and a file of the user.
	set  *set.Set
	tree string
}

// find finds a package: a file, or the name of one in the sets. setDir is the folder of a set that replaces all sets; "" is none.
func (a *app) find(pkg, setDir string) (*found, error) {
	library, host, err := setFS(setDir)
	if err != nil {
		return nil, err
	}
	f := &found{mounts: []nu.Mount{{Path: setMount, FS: library, Host: host, Library: true}}, name: pkg}
	switch {
	case isFile(pkg):
		return f, f.own(pkg, host)
	case setDir == "":
		return f, a.findName(f, pkg)
	}
	name, err := findInSet(library, pkg)
	f.file = path.Join(setMount, name)
	return f, err
}

// preferred returns the first of FOLDER/NAME that a set has, for a name that several folders may have, and else the name itself: cc is a runtime in
// lang and a compiler in toolchain.
func (a *app) preferred(name string, folders ...string) string {
	if isFile(name) || strings.Contains(name, "/") {
		return name
	}
	for _, folder := range folders {
		if _, err := a.find(path.Join(folder, name), a.set); err == nil {
			return path.Join(folder, name)
		}
	}
	return name
}

// own finds a file of the user. host is the folder of the set of --packages.
func (f *found) own(pkg, host string) error {
	at, err := filepath.Abs(pkg)
	if err != nil {
		return err
	}
	info, err := os.Stat(at)
	if err != nil || info.IsDir() {
		return protocol.Errorf(protocol.NotFound, "no package file %s", pkg).
			WithHint("a package file ends in .nu; a name of the package set is written without a path")
	}
	if rel, err := filepath.Rel(host, at); host != "" && err == nil && filepath.IsLocal(rel) {
		f.file = path.Join(setMount, filepath.ToSlash(rel))
		return nil
	}
	project := projectOf(at)
	root, err := os.OpenRoot(project)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(project, at)
	if err != nil {
		return err
	}
	f.mounts = append(f.mounts, nu.Mount{Path: userMount, FS: root.FS(), Host: shorter(project)})
	f.file = path.Join(userMount, filepath.ToSlash(rel))
	return nil
}

// findName finds a name in the sets, in their order. The first set that has the name counts; SET/NAME and SET/PATH/NAME choose the set.
func (a *app) findName(f *found, name string) error {
	folder, err := set.Open(a.home.Sets())
	if err != nil {
		return err
	}
	list, err := folder.List()
	if err != nil {
		return err
	}
	first, rest, qualified := strings.Cut(name, "/")
	if qualified {
		if i := slices.IndexFunc(list, func(s set.Set) bool { return s.Name == first }); i >= 0 {
			return f.inAdded(folder, &list[i], rest)
		}
		if first == set.Embedded {
			return f.inEmbedded(rest)
		}
	}
	for i := range list {
		err := f.inAdded(folder, &list[i], name)
		if protocol.CodeOf(err) != protocol.NotFound {
			return err
		}
	}
	err = f.inEmbedded(name)
	if len(list) > 0 && protocol.CodeOf(err) == protocol.NotFound {
		names := make([]string, 0, len(list)+1)
		for i := range list {
			names = append(names, list[i].Name)
		}
		return protocol.Errorf(protocol.NotFound, "no package set has a package %q: %s", name, strings.Join(append(names, set.Embedded), ", ")).
			WithHint("search for it: nuka search WORDS; a file of your own is written with its path, ./%s.nu", name)
	}
	return err
}

func (f *found) inEmbedded(name string) error {
	file, err := findInSet(packages.FS, name)
	if err != nil {
		return err
	}
	f.file, f.name = path.Join(setMount, file), path.Join(set.Embedded, strings.TrimSuffix(file, ".nu"))
	return nil
}

// inAdded finds a name in a set that the user added: a path, or the name of one file, for which the index is asked.
func (f *found) inAdded(folder *set.Folder, s *set.Set, name string) error {
	tree := folder.Tree(s)
	root, err := os.OpenRoot(tree)
	if err != nil {
		return protocol.Errorf(protocol.Damaged, "package set %s: %w", s.Name, err).WithHint("get it again: nuka set update %s", s.Name)
	}
	file := ""
	if info, err := fs.Stat(root.FS(), name+".nu"); err == nil && info.Mode().IsRegular() {
		file = name
	} else if !strings.Contains(name, "/") {
		if file, err = inIndex(folder, s, name); err != nil {
			return errors.Join(err, root.Close())
		}
	}
	if file == "" {
		root.Close() //nolint:errcheck // only read
		return protocol.Errorf(protocol.NotFound, "the package set %s has no package %q", s.Name, name).
			WithHint("search for it: nuka search WORDS")
	}
	f.mounts = append([]nu.Mount{{Path: addedMount, FS: root.FS(), Library: true}}, f.mounts...)
	f.file, f.name = path.Join(addedMount, file+".nu"), path.Join(s.Name, file)
	f.set, f.tree = s, tree
	return nil
}

// inIndex returns the path in a set that a name means, and "" if there is none.
func inIndex(folder *set.Folder, s *set.Set, name string) (string, error) {
	x, err := folder.Index(s)
	if err != nil {
		return "", err
	}
	entries, err := x.Find(name)
	if err != nil {
		return "", err
	}
	paths := make([]string, len(entries))
	for i, e := range entries {
		paths[i] = e.Path
	}
	if slices.Contains(paths, "app/"+name) {
		return "app/" + name, nil // a bare name means the program
	}
	switch len(paths) {
	case 0:
		return "", nil
	case 1:
		return paths[0], nil
	}
	for i := range paths {
		paths[i] = path.Join(s.Name, paths[i])
	}
	return "", protocol.Errorf(protocol.Invalid, "the package set %s has several packages %q", s.Name, name).WithHint("choose one: %s", strings.Join(paths, ", "))
}

func findInSet(library fs.FS, name string) (string, error) {
	if _, err := fs.Stat(library, name+".nu"); err == nil && fs.ValidPath(name) {
		return name + ".nu", nil
	}
	var found, all []string
	for _, pattern := range []string{"*.nu", "*/*.nu"} {
		files, err := fs.Glob(library, pattern)
		if err != nil {
			return "", err
		}
		for _, f := range files {
			stem := strings.TrimSuffix(path.Base(f), ".nu")
			if stem == name {
				found = append(found, f)
			}
			all = append(all, stem)
		}
	}
	if i := slices.Index(found, "app/"+name+".nu"); i >= 0 {
		found = found[i : i+1] // a bare name means the program
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		slices.Sort(all)
		return "", protocol.Errorf(protocol.NotFound, "the package set has no package %q", name).
			WithHint("it has %s; a file of your own is written with its path, ./%s.nu", strings.Join(slices.Compact(all), ", "), name)
	}
	return "", protocol.Errorf(protocol.Invalid, "the package set has several packages %q", name).
		WithHint("choose one: %s", strings.ReplaceAll(strings.Join(found, ", "), ".nu", ""))
}

// shown names the files of an added set in a result, or in the faults of an error, by the set: NAME/app/lua.nu. An evaluation sees every added set at
// the same path, so that a package's PID and the cached evaluation do not depend on the set's name and place. shown returns the error.
func (f *found) shown(r *nu.Result, err error) error {
	if f.set == nil {
		return err
	}
	name := func(file *string) {
		if rest, ok := strings.CutPrefix(*file, addedMount+"/"); ok {
			*file = path.Join(f.set.Name, rest)
		}
	}
	var faults *nu.Error
	if errors.As(err, &faults) {
		for i := range faults.Diags {
			name(&faults.Diags[i].File)
			for j := range faults.Diags[i].Calls {
				name(&faults.Diags[i].Calls[j].File)
			}
		}
	}
	if err != nil {
		return err
	}
	for i := range r.Packages {
		name(&r.Packages[i].At.File)
		for text, at := range r.Packages[i].Texts {
			name(&at.File)
			r.Packages[i].Texts[text] = at
		}
	}
	for i := range r.Paths {
		if rest, ok := strings.CutPrefix(r.Paths[i].Virtual, addedMount+"/"); ok && r.Paths[i].Host == "" {
			r.Paths[i].Host = filepath.Join(f.tree, filepath.FromSlash(rest))
		}
	}
	return nil
}
