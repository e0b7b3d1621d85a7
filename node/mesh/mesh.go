// Package mesh keeps which meshes a node is in: their secrets, the node's certificates, the invitations that it has given,
// and the members that it knows. It decides who is let in, and has no sockets.
package mesh

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/protocol"
)

const (
	meshSuffix = ".mesh"
	// invitationLifetime is how long an invitation holds unless it is said otherwise.
	invitationLifetime = 7 * 24 * time.Hour
	tokenSize          = 24
	// maxMembers bounds the members that a node remembers of one mesh.
	maxMembers = 10_000
)

// Meshes are those that a node is in, a file each. They are safe for use by several goroutines.
type Meshes struct {
	dir string
	key ed25519.PrivateKey
	log *slog.Logger
	// Changed is called when the membership must begin, end or show another credential; it must not block or call back.
	Changed func(name string)

	mu   sync.Mutex
	list map[string]*state
}

// Open reads the meshes of a folder, which it makes. The secrets in it are the user's alone.
func Open(dir string, key ed25519.PrivateKey, log *slog.Logger) (*Meshes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := &Meshes{dir: dir, key: key, log: log, Changed: func(string) {}, list: map[string]*state{}}
	files, err := filepath.Glob(filepath.Join(dir, "*"+meshSuffix))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s, err := decodeState(b)
		if err != nil {
			return nil, protocol.Errorf(protocol.Damaged, "%s: %v", path, err).WithHint("move it away and join the mesh again by another invitation")
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

// get returns what is known of a mesh; the caller holds mu.
func (m *Meshes) get(name string) (*state, error) {
	s := m.list[name]
	if s == nil {
		return nil, protocol.Errorf(protocol.NotFound, "this node is in no mesh %.40q", name).
			WithHint("make one with nuka mesh create, or join one with nuka mesh join TICKET")
	}
	return s, nil
}

// Create makes a mesh of which this node is the authority.
func (m *Meshes) Create(name string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.list[name] != nil {
		return protocol.Errorf(protocol.Invalid, "this node is in a mesh %s already", name)
	}
	s := &state{
		mesh:    protocol.Mesh{Name: name, Authority: protocol.KeyOf(m.key)},
		invites: map[string]invitation{}, members: map[protocol.Key]protocol.Member{},
	}
	if _, err := rand.Read(s.mesh.Secret[:]); err != nil {
		return err
	}
	if err := s.mesh.Check(); err != nil {
		return protocol.Errorf(protocol.Invalid, "%v", err)
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

// Invite makes an invitation and returns its token, of which only a hash is kept.
func (m *Meshes) Invite(name string, invites bool, lifetime time.Duration, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return nil, err
	}
	own := protocol.KeyOf(m.key)
	if !s.credential.Chain[0].Invites || invites && s.mesh.Authority != own {
		return nil, protocol.Errorf(protocol.Denied, "mesh %s: this node may not let others in so", name).
			WithHint("%s is its authority", s.mesh.Authority)
	}
	if lifetime == 0 {
		lifetime = invitationLifetime
	}
	token := make([]byte, tokenSize)
	if _, err := rand.Read(token); err != nil {
		return nil, err
	}
	for sum, i := range s.invites {
		if !now.Before(i.expires) {
			delete(s.invites, sum)
		}
	}
	s.invites[tokenSum(token)] = invitation{expires: now.Add(lifetime), invites: invites}
	return token, m.save(s)
}

func tokenSum(token []byte) string {
	var sum [32]byte
	blake3.DeriveKey("nuka mesh invitation 1", token, sum[:])
	return fmt.Sprintf("%x", sum)
}

// Invited answers a node that shows a token. The first one to do so is the only one. addresses are where this node is in the mesh.
func (m *Meshes) Invited(key protocol.Key, request []byte, addresses func(mesh string) []string, now time.Time) ([]byte, error) {
	r, err := protocol.DecodeJoinRequest(request)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := tokenSum(r.Token)
	for _, s := range m.list {
		i, ok := s.invites[sum]
		if !ok || !now.Before(i.expires) {
			continue
		}
		if !i.used.IsZero() && i.used != key {
			return nil, fmt.Errorf("mesh %s: an invitation that another has used, by %s", s.mesh.Name, key)
		}
		if revoked := s.credential.Revoked; revoked != nil && slices.Contains(revoked.Keys, key) {
			return nil, fmt.Errorf("mesh %s: %s was put out", s.mesh.Name, key)
		}
		given, err := m.certify(s, key, i.invites, now)
		if err != nil {
			return nil, err
		}
		b, err := given.Encode()
		if err != nil {
			return nil, err
		}
		i.used = key
		s.invites[sum] = i
		s.note(key, i.invites, now)
		if err := m.save(s); err != nil {
			return nil, err
		}
		return (&protocol.JoinAnswer{Mesh: s.mesh, Credential: b, Addresses: addresses(s.mesh.Name)}).Encode()
	}
	return nil, fmt.Errorf("an invitation that is not known, or has expired, by %s", key)
}

// Joined keeps what an answer has let this node into.
func (m *Meshes) Joined(answer []byte, now time.Time) (string, error) {
	a, err := protocol.DecodeJoinAnswer(answer)
	if err != nil {
		return "", err
	}
	credential, err := protocol.DecodeCredential(a.Credential)
	if err != nil {
		return "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	name := a.Mesh.Name
	old := m.list[name]
	var known *protocol.Revocations
	if old != nil {
		if old.mesh != a.Mesh {
			return "", protocol.Errorf(protocol.Invalid, "this node is in another mesh %s", name).WithHint("leave it first: nuka mesh leave %s", name)
		}
		known = old.credential.Revoked
	}
	// Whoever lets others in is not the authority: what it says about who was put out must be the authority's word,
	// and not an older one than is known. A list of its own with a great number would shut out every later one.
	if r := credential.Revoked; r != nil {
		newer, err := r.Newer(&a.Mesh, known)
		if err != nil {
			return "", err
		}
		if newer {
			known = r
		}
	}
	credential.Revoked = known
	if err := credential.Admits(&a.Mesh, protocol.KeyOf(m.key), known, now); err != nil {
		return "", err
	}
	s := &state{
		mesh: a.Mesh, credential: *credential, addresses: a.Addresses,
		invites: map[string]invitation{}, members: map[protocol.Key]protocol.Member{},
	}
	if old != nil {
		s.invites, s.members = old.invites, old.members
	}
	if err := m.save(s); err != nil {
		return "", err
	}
	m.list[name] = s
	m.Changed(name)
	return name, nil
}

// Leave forgets a mesh. What came out of it stays, and goes nowhere any more.
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

// Revoke puts a member out. Members learn it from each other.
func (m *Meshes) Revoke(name string, key protocol.Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return err
	}
	if s.mesh.Authority != protocol.KeyOf(m.key) {
		return protocol.Errorf(protocol.Denied, "mesh %s: only its authority puts members out", name).WithHint("that is %s", s.mesh.Authority)
	}
	if key == s.mesh.Authority {
		return protocol.Errorf(protocol.Invalid, "mesh %s: its authority cannot be put out", name)
	}
	next := &protocol.Revocations{Mesh: s.mesh.ID(), Number: 1, Keys: []protocol.Key{key}}
	if old := s.credential.Revoked; old != nil {
		next.Number, next.Keys = old.Number+1, append(slices.Clone(old.Keys), key)
	}
	if len(next.Keys) > protocol.MaxRevoked {
		return protocol.Errorf(protocol.Exhausted, "mesh %s: %d members were put out, more cannot be", name, protocol.MaxRevoked).
			WithHint("begin a new mesh with those who stay")
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

// Inviting says whether an invitation holds that nobody has used.
func (m *Meshes) Inviting(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.list {
		for _, i := range s.invites {
			if now.Before(i.expires) && i.used.IsZero() {
				return true
			}
		}
	}
	return false
}

// Credential returns what that this node shows to members.
func (m *Meshes) Credential(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return nil, err
	}
	return s.credential.Encode()
}

// Place returns where a mesh is: the prefix of its protocol ids, and addresses of members to begin with.
func (m *Meshes) Place(name string) (prefix string, addresses []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return "", nil, err
	}
	return s.mesh.Prefix(), slices.Clone(s.addresses), nil
}

// Status describes the meshes, or one.
func (m *Meshes) Status(name string) ([]protocol.MeshStatus, error) {
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
		list = append(list, st)
	}
	return list, nil
}
