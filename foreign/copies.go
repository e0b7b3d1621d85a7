package foreign

import (
	"os"

	"github.com/MordragT/nuka/sandbox"
)

const (
	maxCopy   = 4 << 10  // bytes of a file of a runtime that is copied
	maxCopies = 64 << 10 // bytes of all of them
)

// copies returns mounts of /etc in which small files are copies, and empty folders are empty folders of the sandbox: a run needs some thirty mounts less, each of which takes as long as
// to start half a thread. The copies are read-only as the mounts were. elfdeps goes on reading the files of the runtime.
func (l *Layout) copies(mounts []sandbox.Mount) ([]sandbox.Mount, error) {
	out, all := make([]sandbox.Mount, len(mounts)), 0
	for i, m := range mounts {
		out[i] = m
		if m.Kind != sandbox.RO {
			continue
		}
		info, err := os.Lstat(m.Source)
		if err != nil {
			return nil, err
		}
		switch {
		case info.IsDir():
			list, err := os.ReadDir(m.Source)
			if err != nil {
				return nil, err
			}
			if len(list) == 0 {
				out[i] = sandbox.Mount{Kind: sandbox.Dir, Target: m.Target, Mode: 0o555}
			}
		case info.Mode().IsRegular() && info.Size() <= maxCopy && all+int(info.Size()) <= maxCopies:
			text, err := os.ReadFile(m.Source)
			if err != nil {
				return nil, err
			}
			all += len(text)
			out[i] = sandbox.Mount{Kind: sandbox.File, Content: text, Target: m.Target, Mode: uint32(info.Mode().Perm() &^ 0o222)}
			l.sources[m.Target] = m.Source
		}
	}
	return out, nil
}
