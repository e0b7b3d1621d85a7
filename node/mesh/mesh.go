// Package mesh keeps the state of the meshes that a node is in: their secrets, the node's certificates, the invitations that it has made,
// and the members that it knows. It decides which nodes to admit, and has no sockets.
package mesh

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

const (
	meshSuffix = ".mesh"
	// maxMembers bounds the members that a node remembers of one mesh.
	maxMembers = 10_000
	// maxTold bounds the names that a new member gets.
	maxTold = 200
)

// Meshes are the meshes that a node is in, each in a file. They are safe for use by several goroutines.
type Meshes struct {
	dir string
	key ed25519.PrivateKey
	log *slog.Logger
	// Meshes calls Changed when the membership in a mesh must begin, end or show another credential. Changed must not block or call back.
	Changed func(name string)

	mu   sync.Mutex
	list map[string]*state
}

// Open reads the meshes of a folder. If the folder does not exist, Open makes it. Only the user may read the secrets in it.
func Open(dir string, key ed25519.PrivateKey, log *slog.Logger) (*Meshes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &Meshes{dir: dir, key: key, log: log, Changed: func(string) {}, list: map[string]*state{}}
	files, err := fs.Glob(os.DirFS(dir), "*"+meshSuffix) // the folder's own name may have characters that are special in patterns
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s, err := decodeState(b)
		if err != nil {
			return nil, protocol.Errorf(protocol.Damaged, "%s: %w", path, err).WithHint("move it away and join the mesh again with another invitation")
		}
		m.list[s.mesh.Name] = s
	}
	return m, nil
}

// save writes the state of a mesh. The caller holds mu.
func (m *Meshes) save(s *state) error {
	b, err := s.encode()
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(m.dir, s.mesh.Name+meshSuffix), b)
}

// Names returns the meshes that the node is in, sorted.
func (m *Meshes) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.list))
}

// get returns the state of a mesh. The caller holds mu.
func (m *Meshes) get(name string) (*state, error) {
	s := m.list[name]
	if s == nil {
		return nil, protocol.Errorf(protocol.NotFound, "this node is in no mesh %.40q", name).
			WithHint("make one with nuka mesh create, or join one with nuka mesh join TICKET")
	}
	return s, nil
}

// Create makes a mesh. This node is its authority and has the name member in it.
func (m *Meshes) Create(name, member string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list[name] != nil {
		return protocol.Errorf(protocol.Invalid, "this node is in a mesh %s already", name)
	}
	s := &state{
		mesh:    protocol.Mesh{Name: name, Authority: protocol.KeyOf(m.key)},
		invites: map[string]invitation{}, members: map[protocol.Key]protocol.Member{}, names: map[protocol.Key]string{},
	}
	s.call(protocol.KeyOf(m.key), member)
	if _, err := rand.Read(s.mesh.Secret[:]); err != nil {
		return err
	}
	if err := s.mesh.Check(); err != nil {
		return protocol.Errorf(protocol.Invalid, "%w", err)
	}
	own := protocol.Certificate{Mesh: s.mesh.ID(), Member: protocol.KeyOf(m.key), Invites: true, Issued: now, Expires: now.AddDate(100, 0, 0)}
	if err := own.Sign(m.key); err != nil {
		return err
	}
	s.credential.Chain = []protocol.Certificate{own}
	if err := m.save(s); err != nil {
		return err
	}
	m.list[name] = s
	m.Changed(name)
	return nil
}

// Leave removes a mesh. The store keeps the content that came out of it, and the node gives that to no other node.
func (m *Meshes) Leave(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.get(name); err != nil {
		return err
	}
	if err := atomicfile.Remove(filepath.Join(m.dir, name+meshSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(m.list, name)
	m.Changed(name)
	return nil
}

// Revoke revokes a member. Members pass the revocation on to each other.
func (m *Meshes) Revoke(name string, key protocol.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return err
	}
	if s.mesh.Authority != protocol.KeyOf(m.key) {
		return protocol.Errorf(protocol.Denied, "mesh %s: only its authority revokes members", name).WithHint("that is %s", s.mesh.Authority)
	}
	if key == s.mesh.Authority {
		return protocol.Errorf(protocol.Invalid, "mesh %s: its authority cannot be revoked", name)
	}
	next := &protocol.Revocations{Mesh: s.mesh.ID(), Number: 1, Keys: []protocol.Key{key}}
	if old := s.credential.Revoked; old != nil {
		next.Number, next.Keys = old.Number+1, append(slices.Clone(old.Keys), key)
	}
	if len(next.Keys) > protocol.MaxRevoked {
		return protocol.Errorf(protocol.Exhausted, "mesh %s: %d members were revoked, more cannot be", name, protocol.MaxRevoked).
			WithHint("create another mesh and invite the members who stay")
	}
	if err := next.Sign(m.key); err != nil {
		return err
	}
	// Members may see the list once it is on disk: a second list of the same number would contradict the first.
	old, member := s.credential.Revoked, s.members[key]
	s.credential.Revoked = next
	delete(s.members, key)
	if err := m.save(s); err != nil {
		s.credential.Revoked, s.members[key] = old, member
		return err
	}
	m.Changed(name)
	return nil
}

// Credential returns the credential that this node shows to members.
func (m *Meshes) Credential(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return nil, err
	}
	return s.credential.Encode()
}

// Place returns how to reach a mesh: the prefix of its protocol ids, and the addresses of its bootstrap peers.
func (m *Meshes) Place(name string) (prefix string, addresses []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return "", nil, err
	}
	return s.mesh.Prefix(), slices.Clone(s.addresses), nil
}

// Status describes all meshes, or the one with the given name.
func (m *Meshes) Status(name string, now time.Time) ([]protocol.MeshStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []protocol.MeshStatus{}
	if name != "" {
		if _, err := m.get(name); err != nil {
			return nil, err
		}
	}
	for _, n := range slices.Sorted(maps.Keys(m.list)) {
		if name != "" && n != name {
			continue
		}
		s := m.list[n]
		st := protocol.MeshStatus{Name: n, Authority: s.mesh.Authority, Invites: s.credential.Chain[0].Invites, Expires: s.credential.Chain[0].Expires}
		for _, member := range s.members {
			st.Members = append(st.Members, member)
		}
		slices.SortFunc(st.Members, func(a, b protocol.Member) int { return strings.Compare(a.Key.String(), b.Key.String()) })
		if s.credential.Revoked != nil {
			st.Revoked = s.credential.Revoked.Keys
		}
		st.Offers, st.Names = s.offers(now), maps.Clone(s.names)
		list = append(list, st)
	}
	return list, nil
}
