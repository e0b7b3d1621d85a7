package control

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// rightSize is the length of a bearer secret in bytes.
const rightSize = 32

// Grants is the set of bearer rights with which light peers of other machines may attach. It is kept in a file, with hashes of the secrets
// instead of the secrets. It is safe for use by several goroutines.
type Grants struct {
	path string
	mu   sync.Mutex
	list []protocol.Grant
}

// OpenGrants reads the set from a file. A missing file is an empty set.
func OpenGrants(path string) (*Grants, error) {
	g := &Grants{path: path}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return g, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := nuon.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	list, _ := v.(nuon.List)
	for _, item := range list {
		rec, _ := item.(nuon.Record)
		id, _ := rec["id"].(string)
		expires, _ := rec["expires"].(int64)
		may, _ := rec["may"].(nuon.List)
		grant := protocol.Grant{ID: id, Expires: time.Unix(expires, 0)}
		for _, m := range may {
			s, _ := m.(string)
			grant.May = append(grant.May, protocol.Right(s))
		}
		g.list = append(g.list, grant)
	}
	return g, nil
}

// grantID returns the key under which the set keeps a grant. It does not reveal the secret.
func grantID(secret []byte) string {
	var sum [32]byte
	blake3.DeriveKey("nuka control grant 1", secret, sum[:])
	return hex.EncodeToString(sum[:])
}

// Add makes a grant and returns its secret, which it does not store.
func (g *Grants) Add(may []protocol.Right, expires time.Time) ([]byte, error) {
	secret := make([]byte, rightSize)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	list := append(slices.Clone(g.list), protocol.Grant{ID: grantID(secret), May: may, Expires: expires.Truncate(time.Second)})
	return secret, g.replace(list)
}

// List returns the grants that have not expired.
func (g *Grants) List(now time.Time) []protocol.Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := []protocol.Grant{}
	for _, grant := range g.list {
		if now.Before(grant.Expires) {
			list = append(list, grant)
		}
	}
	return list
}

// Remove revokes the grant whose id begins with prefix. Open connections of that grant can make no further call.
func (g *Grants) Remove(prefix string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	match := func(grant protocol.Grant) bool {
		return len(grant.ID) >= len(prefix) && grant.ID[:len(prefix)] == prefix
	}
	n := 0
	for _, grant := range g.list {
		if match(grant) {
			n++
		}
	}
	if n != 1 || prefix == "" {
		return protocol.Errorf(protocol.NotFound, "%d grants begin with %q", n, prefix).WithHint("list them: nuka daemon ticket list")
	}
	return g.replace(slices.DeleteFunc(slices.Clone(g.list), match))
}

// may returns the rights of a grant now; none if it does not exist, was removed or has expired.
func (g *Grants) may(id string, now time.Time) []protocol.Right {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, grant := range g.list {
		if grant.ID == id && now.Before(grant.Expires) {
			return grant.May
		}
	}
	return nil
}

// replace writes the set, whole or not at all. The caller holds mu.
func (g *Grants) replace(grants []protocol.Grant) error {
	list := nuon.List{}
	for _, grant := range grants {
		may := nuon.List{}
		for _, m := range grant.May {
			may = append(may, string(m))
		}
		list = append(list, nuon.Record{"id": grant.ID, "may": may, "expires": grant.Expires.Unix()})
	}
	b, err := nuon.Encode(list)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(g.path, b); err != nil {
		return err
	}
	g.list = grants
	return nil
}
