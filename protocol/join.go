package protocol

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/MordragT/nuka/pir/nuon"
)

const (
	// maxMemberName bounds the name of a member, in characters.
	maxMemberName = 32
	// maxNames bounds the names of members in one answer.
	maxNames = 200
)

// memberScripts are the scripts whose letters a member's name may contain. None is written from right to left:
// such letters could reorder neighbouring text on a line.
var memberScripts = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
}

// MemberName turns a text into a name for a member of a mesh: letters, digits, ".", "_" and "-", at most 32.
// Whatever else there is becomes "-". It is "" if nothing is left. A name is for people: nothing is decided by one that others say.
func MemberName(s string) string {
	var name []rune
	for _, r := range s {
		ok := unicode.IsLetter(r) && unicode.In(r, memberScripts...) || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
		switch {
		case ok:
			name = append(name, r)
		case len(name) > 0 && name[len(name)-1] != '-':
			name = append(name, '-')
		}
		if len(name) > maxMemberName {
			break
		}
	}
	text := strings.Trim(string(name[:min(len(name), maxMemberName)]), "._-")
	if strings.HasPrefix(text, keyPrefix) { // it would be taken for a key
		return MemberName(strings.TrimPrefix(text, keyPrefix))
	}
	return text
}

// A JoinRequest presents an invitation.
type JoinRequest struct {
	Token []byte // from the ticket
	// Name is the name that the node chooses for itself, or "".
	Name string
}

// A JoinAnswer admits a node to a mesh.
type JoinAnswer struct {
	Mesh       Mesh
	Credential []byte   // of the new member
	Addresses  []string // multiaddrs of the responder in the mesh, with its peer id
	// Names are the responder's names for members, including the new one. They are for display only.
	Names map[Key]string
}

// A RefusalReason is the reason why an invitation is refused.
type RefusalReason string

// The reasons. A requester with an unknown token only learns RefusedInvalid.
const (
	RefusedInvalid RefusalReason = "invalid"
	RefusedUsed    RefusalReason = "used"        // another node has used it
	RefusedExpired RefusalReason = "expired"     // it expired; JoinRefusal.Expired says when
	RefusedRevoked RefusalReason = "revoked"     // the invitation was revoked
	RefusedKey     RefusalReason = "key-revoked" // the requester's key was revoked
)

// A JoinRefusal is the responder's refusal to admit a node to a mesh, as an error.
type JoinRefusal struct {
	Reason  RefusalReason
	Expired time.Time // set if that is the reason
}

func (r *JoinRefusal) Error() string {
	switch r.Reason {
	case RefusedUsed:
		return "this invitation was used already, by another node"
	case RefusedExpired:
		return "this invitation expired on " + r.Expired.Format(time.DateTime)
	case RefusedRevoked:
		return "this invitation was revoked"
	case RefusedKey:
		return "this node was revoked in the mesh"
	}
	return "this invitation is not valid"
}

// Encode returns the canonical bytes of a request.
func (r *JoinRequest) Encode() ([]byte, error) {
	rec := nuon.Record{"join": int64(1), "token": nuon.Binary(r.Token)}
	if r.Name != "" {
		rec["name"] = r.Name
	}
	return nuon.Encode(rec)
}

// DecodeJoinRequest reads a request. It ignores unknown fields, which later versions may add.
func DecodeJoinRequest(b []byte) (*JoinRequest, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("decode join: %w", err)
	}
	token, _ := rec["token"].(nuon.Binary)
	if len(token) == 0 || len(token) > 64 || rec["join"] != int64(1) {
		return nil, errors.New("decode join: want a token")
	}
	return &JoinRequest{Token: token, Name: MemberName(text(rec, "name"))}, nil
}

// Encode returns the canonical bytes of an answer.
func (a *JoinAnswer) Encode() ([]byte, error) {
	addresses := nuon.List{}
	for _, s := range a.Addresses {
		addresses = append(addresses, s)
	}
	rec := nuon.Record{
		"joined": int64(1), "name": a.Mesh.Name, "secret": nuon.Binary(a.Mesh.Secret[:]), "authority": a.Mesh.Authority.String(),
		"credential": nuon.Binary(a.Credential), "addresses": addresses,
	}
	names := nuon.List{}
	for _, key := range slices.SortedFunc(maps.Keys(a.Names), func(x, y Key) int { return bytes.Compare(x[:], y[:]) }) {
		if len(names) < maxNames {
			names = append(names, nuon.Record{"key": key.String(), "name": a.Names[key]})
		}
	}
	if len(names) > 0 {
		rec["names"] = names
	}
	return nuon.Encode(rec)
}

// Encode returns the canonical bytes of a refusal, which are sent in place of an answer.
func (r *JoinRefusal) Encode() ([]byte, error) {
	rec := nuon.Record{"refused": int64(1), "reason": string(r.Reason)}
	if r.Reason == RefusedExpired {
		rec["expired"] = r.Expired.Unix()
	}
	return nuon.Encode(rec)
}

// DecodeJoinAnswer reads an answer. If it is a refusal, the error is a *JoinRefusal.
func DecodeJoinAnswer(b []byte) (*JoinAnswer, error) {
	rec, err := nuon.DecodeRecord(b)
	if err != nil {
		return nil, fmt.Errorf("decode answer to join: %w", err)
	}
	if rec["refused"] == int64(1) {
		expired, _ := rec["expired"].(int64)
		return nil, &JoinRefusal{Reason: RefusalReason(cmp.Or(text(rec, "reason"), string(RefusedInvalid))), Expired: time.Unix(expired, 0)}
	}
	a := &JoinAnswer{Mesh: Mesh{Name: text(rec, "name")}}
	secret, _ := rec["secret"].(nuon.Binary)
	credential, _ := rec["credential"].(nuon.Binary)
	list, _ := rec["addresses"].(nuon.List)
	names, _ := rec["names"].(nuon.List)
	if len(secret) != meshSecretSize || len(list) > maxAddresses || len(names) > maxNames {
		return nil, errors.New("decode answer to join: a field is missing or too long")
	}
	a.Mesh.Secret, a.Credential = [meshSecretSize]byte(secret), credential
	if a.Mesh.Authority, err = ParseKey(text(rec, "authority")); err != nil {
		return nil, fmt.Errorf("decode answer to join: %w", err)
	}
	for _, v := range list {
		s, _ := v.(string)
		if strings.HasPrefix(s, "/") {
			a.Addresses = append(a.Addresses, s)
		}
	}
	for _, v := range names {
		r, _ := v.(nuon.Record)
		key, err := ParseKey(text(r, "key"))
		if name := MemberName(text(r, "name")); err == nil && name != "" {
			if a.Names == nil {
				a.Names = map[Key]string{}
			}
			a.Names[key] = name
		}
	}
	return a, a.Mesh.Check()
}
