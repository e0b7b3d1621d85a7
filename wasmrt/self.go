package wasmrt

import "slices"

// Self is the path at which each program finds its own package: a package has no path yet when its programs are compiled. What that does not have is looked for in
// further packages: for a script in the one of its interpreter, and then in those of the program that started it, so that a path which it passes on means the same.
const Self = "/nuka/self"

// within returns the file system as a program sees it whose package has a root, the path of a mount, or several.
func (f *FS) within(roots []string) *FS {
	if slices.Equal(f.self, roots) {
		return f
	}
	view := *f
	view.self = roots
	return &view
}

// own returns the root in which a walk that has come to Self goes on: the first that has the file, or else the first. Other paths it returns as they are.
func (f *FS) own(at, rest string) string {
	if at != Self || len(f.self) == 0 {
		return at
	}
	if len(f.self) > 1 {
		for _, root := range f.self {
			if _, e := f.within([]string{root}).walk(root, "./"+rest, false); e == eOK {
				return root
			}
		}
	}
	return f.self[0]
}

// selves adds the packages of the program that starts another one, whose view this is, to the packages of that.
func (f *FS) selves(roots []string) []string {
	for _, root := range f.self {
		if !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// addSelf adds the root of the package that a program, script or wrapper is in, if it is in one. Its path has no links.
func (f *FS) addSelf(roots []string, program string) []string {
	m, _ := f.cover(program)
	if m == nil || m.source {
		return roots
	}
	if _, tree := m.b.(*Tree); !tree || slices.Contains(roots, m.path) {
		return roots
	}
	return append(roots, m.path)
}
