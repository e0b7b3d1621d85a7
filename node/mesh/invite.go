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
	// invitationLifetime is how long an invitation holds unless it is said otherwise.
	invitationLifetime = 7 * 24 * time.Hour
	// invitationMemory is how long an invitation that has expired is remembered, to say so to who shows it.
	invitationMemory = 90 * 24 * time.Hour
	tokenSize        = 24
	// offerID is how many characters of a token's hash are the id of an invitation.
	offerID = 12
)

// An invitation lets one node in.
type invitation struct {
	expires time.Time
	invites bool         // it may let others in as well
	used    protocol.Key // who was let in by it, and may ask again: the answer may have been lost
	name    string       // of whom it is for; "" leaves that to who comes
	revoked bool
}

// open says whether the invitation lets somebody in who has not come yet.
func (i invitation) open(now time.Time) bool {
	return now.Before(i.expires) && i.used.IsZero() && !i.revoked
}

// Invite makes an invitation for a node that will be called member, and returns its token, of which only a hash is kept.
// With member "" the node says how it is called.
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

// offers returns the invitations that are open, the first to expire first.
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

// RevokeOffer revokes an invitation that is open, by its id.
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

// Inviting says whether an invitation is open.
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

// Invited answers a node that shows a token. The first one to do so is the only one. addresses are where this node is in the mesh.
// The answer may be a refusal, which says to who has a token why it lets nobody in, and to anybody else nothing.
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

// invitation returns the one with the hash of a token, and its mesh, or nil.
func (m *Meshes) invitation(sum string) (*state, invitation) {
	for _, s := range m.list {
		if i, ok := s.invites[sum]; ok {
			return s, i
		}
	}
	return nil, invitation{}
}

// refusal says why a key is not let in by an invitation, nil if it is. s is nil if the token is not known.
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

// told returns the names that a new member is told: its own, the authority's, and those of members that are known.
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

// Joined keeps what an answer has let this node into. What members are called there is taken from it, but for those that have a name here.
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
	// Whoever lets others in is not the authority: what it says about who was revoked must be the authority's word,
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
