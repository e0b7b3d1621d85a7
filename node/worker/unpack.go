package worker

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/source/archive"
	"github.com/MordragT/nuka/wasmrt"
)

// maxInnerArchive bounds an archive that a build unpacks, in bytes.
const maxInnerArchive = 4 << 30

// unpackInside serves the command unpack of build closures, for archives inside a source.
// folders maps the guest's writable folders to this machine's.
func unpackInside(guest *wasmrt.FS, folders map[string]string) func(context.Context, *nu.Unpacking) error {
	return func(ctx context.Context, u *nu.Unpacking) error {
		for at, host := range folders {
			rest, ok := strings.CutPrefix(u.To, at)
			if !ok || rest != "" && rest[0] != '/' {
				continue
			}
			packed, err := guest.ReadFile(u.Archive, maxInnerArchive)
			if err != nil {
				return err
			}
			root, err := os.OpenRoot(host)
			if err != nil {
				return err
			}
			defer root.Close()
			to, err := root.OpenRoot(filepath.Clean("./" + rest))
			if err != nil {
				return err
			}
			defer to.Close()
			_, err = archive.Unpack(ctx, bytes.NewReader(packed), int64(len(packed)), archive.Folder{Root: to}, &archive.Options{Strip: u.Strip})
			return err
		}
		return protocol.Errorf(protocol.Invalid, "unpack to %s: a build cannot write to this folder", u.To)
	}
}
