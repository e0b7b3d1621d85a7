package foreign

import (
	"path"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
)

// A Part is a folder of this machine whose programs and modules a run needs beside its program, such as a private home.
type Part struct {
	Dir    string // on this machine
	Inside string // where the program sees it
	// Own reports that the folder is the application's own: where it brings one library of a project, the others of that project never come from
	// elsewhere.
	Own bool
}

// NeedsOf returns what a program lacks in a root, and what the programs and modules of parts lack. Plugins may lack libraries; so may programs outside the folders
// of commands, which are often tests.
// env is the program's environment: its PATH and LD_LIBRARY_PATH count.
func NeedsOf(root elfdeps.Root, env map[string]string, program string, parts []Part) (*elfdeps.Report, error) {
	report, scan, err := needs(root, env, program)
	if err != nil {
		return nil, err
	}
	return report, addParts(scan, report, parts)
}

// NeedsOfParts returns what the programs and modules of parts lack in a root, by the rules of NeedsOf.
func NeedsOfParts(root elfdeps.Root, parts []Part) (*elfdeps.Report, error) {
	scan := elfdeps.NewScan(root, Machine(), nil)
	return scan.Report(), addParts(scan, scan.Report(), parts)
}

func addParts(scan *elfdeps.Scan, report *elfdeps.Report, parts []Part) error {
	machine := Machine()
	var own []string
	for _, p := range parts {
		members, err := elfdeps.Members(p.Dir, func(b *elfdeps.Binary) bool { return b.Machine == machine })
		if err != nil {
			return err
		}
		for _, m := range members {
			if p.Own {
				own = append(own, elfdeps.Family(path.Base(m.Path)))
			}
			if m.Role == elfdeps.Library {
				continue
			}
			// A folder bin below a folder lib is part of a module: python3-torch has its tests there.
			command := slices.Contains([]string{"bin", "sbin"}, path.Base(path.Dir(m.Path))) && !strings.Contains("/"+m.Path, "/lib/")
			if err := scan.Add(path.Join(p.Inside, m.Path), m.Role == elfdeps.Plugin || m.Role == elfdeps.Program && !command); err != nil {
				continue // it is not visible inside, such as a file of the package that the runtime leaves out
			}
		}
	}
	for i := range report.Missing {
		if m := &report.Missing[i]; slices.Contains(own, elfdeps.Family(m.Soname)) {
			m.Optional, m.Own = true, true
		}
	}
	return nil
}
