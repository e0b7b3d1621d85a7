package deploy

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/service"
)

// Check returns an error with the code Denied if a unit on disk is neither that of from nor that of to: somebody has changed it. With Force it keeps a copy instead.
func (c *Change) Check(from, to *Generation) error {
	seen := map[string]bool{}
	for _, g := range []*Generation{from, to} {
		if g == nil {
			continue
		}
		m, err := c.Open(g)
		if err != nil {
			return err
		}
		other := to
		if g == to {
			other = from
		}
		for _, s := range g.Services() {
			for _, u := range g.Members[s.Name].Units {
				at := filepath.Join(m.Folder(), filepath.FromSlash(u.Path))
				if seen[at] {
					continue
				}
				seen[at] = true
				text, there, err := onDisk(m.Folder(), &u)
				if err != nil {
					return err
				}
				old, ok := unitOf(other.member(s.Name), u.Path)
				if !there || text == u.Text || ok && text == old.Text {
					continue
				}
				if err := c.changed(at, &u, text); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// changed keeps a copy of a unit that was changed, or returns the error.
func (c *Change) changed(at string, u *service.Unit, text string) error {
	if !c.Force {
		return protocol.Errorf(protocol.Denied, "%s was changed by hand, or is not nuka's:\n%s", at, strings.TrimSuffix(lineDiff(u.Text, text), "\n")).
			WithHint("--force writes it anew, and keeps a copy in %s", c.Dir.at("kept"))
	}
	kept := c.Dir.at("kept", fmt.Sprintf("%s-%d", strings.ReplaceAll(u.Path, "/", "-"), time.Now().UnixNano()))
	c.Event("", fmt.Sprintf("%s was changed by hand; a copy is in %s", at, kept))
	return atomicfile.Write(kept, []byte(text))
}
