package mesh

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// A state is a node's knowledge of a mesh that it is in. One file has the whole state.
type state struct {
	mesh       protocol.Mesh
	credential protocol.Credential
	addresses  []string                         // of bootstrap peers
	invites    map[string]invitation            // by the hash of their token, in hex
	members    map[protocol.Key]protocol.Member // that this node has admitted or met
	names      map[protocol.Key]string          // of members, including revoked ones
}

// note records a member.
func (s *state) note(key protocol.Key, invites bool, now time.Time) {
	if len(s.members) < maxMembers || !s.members[key].Seen.IsZero() {
		s.members[key] = protocol.Member{Key: key, Invites: invites, Seen: now.Truncate(time.Second)}
	}
}

// call gives a member a name.
func (s *state) call(key protocol.Key, name string) {
	if name = protocol.MemberName(name); name != "" && (len(s.names) < maxMembers || s.names[key] != "") {
		s.names[key] = name
	}
}

func (s *state) encode() ([]byte, error) {
	credential, err := s.credential.Encode()
	if err != nil {
		return nil, err
	}
	addresses, invites, members, names := nuon.List{}, nuon.List{}, nuon.List{}, nuon.List{}
	for _, a := range s.addresses {
		addresses = append(addresses, a)
	}
	for _, sum := range slices.Sorted(maps.Keys(s.invites)) {
		i := s.invites[sum]
		rec := nuon.Record{"sum": sum, "expires": i.expires.Unix(), "invites": i.invites}
		if !i.used.IsZero() {
			rec["used"] = i.used.String()
		}
		if i.name != "" {
			rec["name"] = i.name
		}
		if i.revoked {
			rec["revoked"] = true
		}
		invites = append(invites, rec)
	}
	for _, member := range s.members {
		members = append(members, nuon.Record{"key": member.Key.String(), "invites": member.Invites, "seen": member.Seen.Unix()})
	}
	for key, name := range s.names {
		names = append(names, nuon.Record{"key": key.String(), "name": name})
	}
	return nuon.Encode(nuon.Record{
		"name": s.mesh.Name, "secret": nuon.Binary(s.mesh.Secret[:]), "authority": s.mesh.Authority.String(),
		"credential": nuon.Binary(credential), "addresses": addresses, "invites": invites, "members": members,
		"names": names,
	})
}

func decodeState(b []byte) (*state, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return nil, err
	}
	text := func(rec nuon.Record, field string) string { s, _ := rec[field].(string); return s }
	s := &state{invites: map[string]invitation{}, members: map[protocol.Key]protocol.Member{}, names: map[protocol.Key]string{}}
	s.mesh.Name = text(rec, "name")
	secret, _ := rec["secret"].(nuon.Binary)
	if len(secret) != len(s.mesh.Secret) {
		return nil, errors.New("its secret is missing")
	}
	copy(s.mesh.Secret[:], secret)
	if s.mesh.Authority, err = protocol.ParseKey(text(rec, "authority")); err != nil {
		return nil, err
	}
	credential, _ := rec["credential"].(nuon.Binary)
	c, err := protocol.DecodeCredential(credential)
	if err != nil {
		return nil, err
	}
	s.credential = *c
	addresses, _ := rec["addresses"].(nuon.List)
	for _, v := range addresses {
		a, _ := v.(string)
		s.addresses = append(s.addresses, a)
	}
	invites, _ := rec["invites"].(nuon.List)
	for _, v := range invites {
		r, _ := v.(nuon.Record)
		expires, _ := r["expires"].(int64)
		may, _ := r["invites"].(bool)
		revoked, _ := r["revoked"].(bool)
		i := invitation{expires: time.Unix(expires, 0), invites: may, name: text(r, "name"), revoked: revoked}
		if used := text(r, "used"); used != "" {
			if i.used, err = protocol.ParseKey(used); err != nil {
				return nil, err
			}
		}
		s.invites[text(r, "sum")] = i
	}
	members, _ := rec["members"].(nuon.List)
	for _, v := range members {
		r, _ := v.(nuon.Record)
		key, err := protocol.ParseKey(text(r, "key"))
		if err != nil {
			return nil, err
		}
		seen, _ := r["seen"].(int64)
		may, _ := r["invites"].(bool)
		s.members[key] = protocol.Member{Key: key, Invites: may, Seen: time.Unix(seen, 0)}
	}
	names, _ := rec["names"].(nuon.List)
	for _, v := range names {
		r, _ := v.(nuon.Record)
		key, err := protocol.ParseKey(text(r, "key"))
		if err != nil {
			return nil, err
		}
		s.call(key, text(r, "name"))
	}
	return s, s.mesh.Check()
}
