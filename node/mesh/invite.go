package mesh

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/MordragT/nuka/protocol"
)

const (
	// invitationLifetime is how long an invitation is valid by default.
	invitationLifetime = 7 * 24 * time.Hour
	// invitationMemory is how long the node remembers an expired invitation, to tell a node that shows it that it has expired.
	invitationMemory = 90 * 24 * time.Hour
	tokenSize        = 24
	// offerID is how many characters of a token's hash are the id of an invitation.
	offerID = 12
)

// An invitation admits one node.
type invitation struct {
	expires time.Time
	invites bool         // the new member may admit others too
	used    protocol.Key // the member that has used it, and may show it again: the answer may have been lost
	name    string       // of the new member; "" leaves the name to that node
	revoked bool
}

// open reports whether the invitation can still admit a node.
func (i invitation) open(now time.Time) bool {
	return now.Before(i.expires) && i.used.IsZero() && !i.revoked
}

// Invite makes an invitation for a node that gets the name member, and returns its token. It stores only a hash of the token.
// If member is "", the node chooses its name.
func (m *Meshes) Invite(name, member string, invites bool, lifetime time.Duration, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return nil, err
	}
	own := protocol.KeyOf(m.key)
	if !s.credential.Chain[0].Invites || invites && s.mesh.Authority != own {
		return nil, protocol.Errorf(protocol.Denied, "mesh %s: this node may not make such an invitation", name).
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
		if now.Sub(i.expires) > invitationMemory {
			delete(s.invites, sum)
		}
	}
	s.invites[tokenSum(token)] = invitation{expires: now.Add(lifetime), invites: invites, name: protocol.MemberName(member)}
	return token, m.save(s)
}

func tokenSum(token []byte) string {
	var sum [32]byte
	blake3.DeriveKey("nuka mesh invitation 1", token, sum[:])
	return fmt.Sprintf("%x", sum)
}

// offers returns the open invitations, in the order in which they expire.
func (s *state) offers(now time.Time) []protocol.Offer {
	var list []protocol.Offer
	for _, sum := range slices.Sorted(maps.Keys(s.invites)) {
		if i := s.invites[sum]; i.open(now) {
			list = append(list, protocol.Offer{ID: sum[:min(len(sum), offerID)], For: i.name, Invites: i.invites, Expires: i.expires})
		}
	}
	slices.SortStableFunc(list, func(a, b protocol.Offer) int { return a.Expires.Compare(b.Expires) })
	return list
}

// RevokeOffer revokes the open invitation with an id.
func (m *Meshes) RevokeOffer(name, id string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return err
	}
	for sum, i := range s.invites {
		if i.open(now) && len(id) == offerID && strings.HasPrefix(sum, id) {
			i.revoked = true
			s.invites[sum] = i
			return m.save(s)
		}
	}
	return protocol.Errorf(protocol.NotFound, "mesh %s: no open invitation is called %.40q", name, id).WithHint("list them: nuka mesh members %s", name)
}

// Inviting reports whether an invitation is open.
func (m *Meshes) Inviting(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.list {
		for _, i := range s.invites {
			if i.open(now) {
				return true
			}
		}
	}
	return false
}

// Invited answers a node that shows a token. A token admits only the first node that shows it. addresses returns this node's addresses in the
// mesh. The answer may be a refusal: it gives the reason to a node that has a token, and none to any other node.
func (m *Meshes) Invited(key protocol.Key, request []byte, addresses func(mesh string) []string, now time.Time) ([]byte, error) {
	r, err := protocol.DecodeJoinRequest(request)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, i := m.invitation(tokenSum(r.Token))
	if refusal := s.refusal(i, key, now); refusal != nil {
		m.log.Info("refused a node", "key", key, "reason", refusal.Reason)
		return refusal.Encode()
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
	s.invites[tokenSum(r.Token)] = i
	s.note(key, i.invites, now)
	if name := i.name; name != "" {
		s.call(key, name)
	} else {
		s.call(key, r.Name)
	}
	if err := m.save(s); err != nil {
		return nil, err
	}
	return (&protocol.JoinAnswer{Mesh: s.mesh, Credential: b, Addresses: addresses(s.mesh.Name), Names: s.told(key)}).Encode()
}

// invitation returns the invitation whose token has a hash, and its mesh, or nil.
func (m *Meshes) invitation(sum string) (*state, invitation) {
	for _, s := range m.list {
		if i, ok := s.invites[sum]; ok {
			return s, i
		}
	}
	return nil, invitation{}
}

// refusal returns the reason why an invitation does not admit a key, or nil if it does. If the token is not known, s is nil.
func (s *state) refusal(i invitation, key protocol.Key, now time.Time) *protocol.JoinRefusal {
	switch {
	case s == nil:
		return &protocol.JoinRefusal{Reason: protocol.RefusedInvalid}
	case i.revoked:
		return &protocol.JoinRefusal{Reason: protocol.RefusedRevoked}
	case !i.used.IsZero() && i.used != key:
		return &protocol.JoinRefusal{Reason: protocol.RefusedUsed}
	case !now.Before(i.expires):
		return &protocol.JoinRefusal{Reason: protocol.RefusedExpired, Expired: i.expires}
	case s.credential.Revoked != nil && slices.Contains(s.credential.Revoked.Keys, key):
		return &protocol.JoinRefusal{Reason: protocol.RefusedKey}
	}
	return nil
}

// told returns the names for a new member: its own, the authority's, and those of the members that this node knows.
func (s *state) told(key protocol.Key) map[protocol.Key]string {
	names := map[protocol.Key]string{}
	add := func(k protocol.Key) {
		if name := s.names[k]; name != "" && len(names) < maxTold {
			names[k] = name
		}
	}
	add(key)
	add(s.mesh.Authority)
	for k := range s.names {
		if s.credential.Revoked == nil || !slices.Contains(s.credential.Revoked.Keys, k) {
			add(k)
		}
	}
	return names
}

// Joined stores the mesh and the credential of an answer. It takes the names of members from the answer, except of members that already have a
// name here.
func (m *Meshes) Joined(answer []byte, now time.Time) (string, error) {
	a, err := protocol.DecodeJoinAnswer(answer)
	var refusal *protocol.JoinRefusal
	if errors.As(err, &refusal) {
		return "", protocol.Errorf(protocol.Denied, "%v", refusal).WithHint("ask a member for another one: nuka mesh invite NAME")
	}
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
	// A member that admits others is not the authority: its list of revocations must have the authority's signature, and must not be older
	// than the known one. Otherwise the member could send its own list with a high number, which would shut out every later list.
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
		invites: map[string]invitation{}, members: map[protocol.Key]protocol.Member{}, names: map[protocol.Key]string{},
	}
	if old != nil {
		s.invites, s.members, s.names = old.invites, old.members, maps.Clone(old.names)
	}
	for key, name := range a.Names {
		if s.names[key] == "" || key == protocol.KeyOf(m.key) {
			s.call(key, name)
		}
	}
	if err := m.save(s); err != nil {
		return "", err
	}
	m.list[name] = s
	m.Changed(name)
	return name, nil
}
