package mesh

import (
	"time"

	"github.com/MordragT/nuka/protocol"
)

// Admit checks the credential that a node shows for a mesh. If the node may not be in the mesh, Admit returns an error with the reason.
// It learns newer revocations from the credential. If this node has issued the credential and it ends soon, Admit returns one that ends later.
func (m *Meshes) Admit(name string, key protocol.Key, shown []byte, now time.Time) (renewed []byte, err error) {
	c, err := protocol.DecodeCredential(shown)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return nil, err
	}
	if err := c.Admits(&s.mesh, key, s.credential.Revoked, now); err != nil {
		return nil, err
	}
	if c.Revoked != nil {
		newer, err := c.Revoked.Newer(&s.mesh, s.credential.Revoked)
		if err != nil {
			return nil, err
		}
		if newer {
			s.credential.Revoked = c.Revoked
			for _, out := range c.Revoked.Keys {
				delete(s.members, out)
			}
			if err := m.save(s); err != nil {
				return nil, err
			}
			m.Changed(name) // so that members learn the revocations, and the revoked ones are disconnected
			if err := c.Admits(&s.mesh, key, s.credential.Revoked, now); err != nil {
				return nil, err
			}
		}
	}
	before := s.members[key]
	s.note(key, c.Chain[0].Invites, now)
	if now.Sub(before.Seen) > time.Hour {
		if err := m.save(s); err != nil {
			return nil, err
		}
	}
	return m.renew(s, c, now)
}

// ends returns when a credential ends: when the first of its certificates expires.
func ends(c *protocol.Credential) time.Time {
	end := c.Chain[0].Expires
	for _, cert := range c.Chain {
		if cert.Expires.Before(end) {
			end = cert.Expires
		}
	}
	return end
}

// certify returns a credential of a member, signed by this node.
func (m *Meshes) certify(s *state, key protocol.Key, invites bool, now time.Time) (*protocol.Credential, error) {
	cert := protocol.Certificate{
		Mesh: s.mesh.ID(), Member: key, Invites: invites, Issued: now, Expires: now.Add(protocol.CertificateLifetime),
	}
	if err := cert.Sign(m.key); err != nil {
		return nil, err
	}
	c := &protocol.Credential{Chain: []protocol.Certificate{cert}, Revoked: s.credential.Revoked}
	if s.mesh.Authority != protocol.KeyOf(m.key) {
		c.Chain = append(c.Chain, s.credential.Chain[0])
	}
	return c, nil
}

// renew returns a credential that ends at least a sixth of a lifetime later than c, an admitted credential. It returns nil if more than a third
// of the lifetime of c is left, if the new credential would not end late enough, or if another node must renew c. A node renews
// the credentials that it has issued; the authority renews all.
func (m *Meshes) renew(s *state, c *protocol.Credential, now time.Time) ([]byte, error) {
	own := protocol.KeyOf(m.key)
	cert := &c.Chain[0]
	if ends(c).Sub(now) > protocol.CertificateLifetime/3 || cert.Signer != own && s.mesh.Authority != own || cert.Member == own {
		return nil, nil
	}
	next, err := m.certify(s, cert.Member, cert.Invites, now)
	if err != nil {
		return nil, err
	}
	if ends(next).Sub(ends(c)) < protocol.CertificateLifetime/6 {
		return nil, nil
	}
	return next.Encode()
}

// Renewed replaces this node's credential by one that ends later.
func (m *Meshes) Renewed(name string, credential []byte, now time.Time) error {
	c, err := protocol.DecodeCredential(credential)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.get(name)
	if err != nil {
		return err
	}
	if err := c.Admits(&s.mesh, protocol.KeyOf(m.key), s.credential.Revoked, now); err != nil {
		return err
	}
	if !ends(c).After(ends(&s.credential)) || s.credential.Chain[0].Invites && !c.Chain[0].Invites {
		return nil // the present one is better: it ends later, or only it may admit others
	}
	s.credential.Chain = c.Chain // Admit learns revocations from the credentials of others
	return m.save(s)
}
