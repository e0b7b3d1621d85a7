package fhs

import "github.com/MordragT/nuka/protocol"

// Files makes the tree of the layout files-1: a folder of packages that are single files, each under the name of its package.
func Files(packages []Package) (*Tree, error) {
	t := &Tree{}
	for i := range packages {
		p := &packages[i]
		if len(p.Entries) != 1 || p.Entries[0].Kind != File || p.Entries[0].Path != "" {
			return nil, protocol.Errorf(protocol.Invalid, "environment: %s is no single file, and the layout files-1 holds files only", p.Name)
		}
		e := p.Entries[0]
		e.Path = p.Name
		t.Entries = append(t.Entries, &e)
		t.Size += e.Size
	}
	return t, nil
}
