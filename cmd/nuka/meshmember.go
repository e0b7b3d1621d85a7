package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
)

// This file has the functions on members and their names that the mesh commands share.

// keyBeginning is how many characters of a key are shown to people, enough to tell keys apart.
const keyBeginning = 12

type meshCall func(*cobra.Command, protocol.MeshArgs) (*protocol.Meshes, error)

// nameFlag adds the flag for the name of this node in a mesh. Without the flag it is the name of the machine.
func nameFlag(c *cobra.Command, usage string) (name func() string) {
	given := c.Flags().String("name", "", usage)
	return func() string {
		if c.Flags().Changed("name") {
			return protocol.MemberName(*given)
		}
		host, err := os.Hostname()
		if err != nil {
			return ""
		}
		host, _, _ = strings.Cut(host, ".")
		return protocol.MemberName(host)
	}
}

func (a *app) inviteCommand(call meshCall) *cobra.Command {
	args := protocol.MeshArgs{Action: protocol.ActionInvite}
	c := &cobra.Command{
		Use: "invite NAME", Short: "print a ticket that admits one node", Args: exactArgs("NAME"),
		RunE: func(c *cobra.Command, words []string) error {
			args.Name = words[0]
			args.Member = protocol.MemberName(args.Member)
			m, err := call(c, args)
			if err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(m)
			}
			who := "one node"
			if args.Member != "" {
				who += " with the name " + args.Member
			}
			a.say("the ticket admits %s until %s", who, time.Now().Add(args.For).Format(time.DateTime))
			fmt.Fprintln(a.out, m.Ticket)
			return nil
		},
	}
	c.Flags().StringVar(&args.Member, "name", "", "the name of the node, `MEMBER`; the default is its own choice")
	c.Flags().DurationVar(&args.For, "for", 7*24*time.Hour, "the ticket expires after `DURATION`")
	c.Flags().BoolVar(&args.Invites, "may-invite", false, "allow the new member to invite others")
	return c
}

func (a *app) revokeCommand(call meshCall) *cobra.Command {
	c := &cobra.Command{
		Use: "revoke NAME MEMBER", Short: "exclude a member for good", Args: exactArgs("NAME", "MEMBER"),
		Long: `Revoke excludes a member for good and informs all members. MEMBER is its key, the beginning of its key, or its name
if no other member has that name. The name of an unused invitation revokes the invitation.`,
		Example: "  nuka mesh revoke team laptop\n  nuka mesh revoke team key-…",
		RunE: func(c *cobra.Command, words []string) error {
			m, err := call(c, protocol.MeshArgs{Name: words[0]})
			if err != nil {
				return err
			}
			key, offer, err := findMember(&m.Meshes[0], words[1])
			if err != nil {
				return err
			}
			args := protocol.MeshArgs{Action: protocol.ActionRevoke, Name: words[0], Key: key}
			who := key.String()
			if name := m.Meshes[0].Names[key]; name != "" {
				who += " (" + name + ")"
			}
			loss := fmt.Sprintf("this revokes %s in the mesh %s for ever: the mesh never admits this key again", who, words[0])
			if offer != nil {
				args.Offer = offer.ID
				loss = fmt.Sprintf("this revokes the invitation for %s to the mesh %s", offer.For, words[0])
			}
			if err := a.confirm(c, loss); err != nil {
				return err
			}
			if m, err = call(c, args); err != nil {
				return err
			}
			return a.showMeshes(m)
		},
	}
	return c
}

// findMember returns the key of the member, or the open invitation, that a word names: the word is a key, the beginning of a key,
// or a name that exactly one member or open invitation has.
func findMember(s *protocol.MeshStatus, word string) (protocol.Key, *protocol.Offer, error) {
	if key, err := protocol.ParseKey(word); err == nil {
		return key, nil, nil
	}
	var keys []protocol.Key
	for _, m := range s.Members {
		keys = append(keys, m.Key)
	}
	keys = slices.AppendSeq(keys, maps.Keys(s.Names))
	slices.SortFunc(keys, func(a, b protocol.Key) int { return strings.Compare(a.String(), b.String()) })
	keys = slices.DeleteFunc(slices.Compact(keys), func(key protocol.Key) bool {
		named := word != "" && s.Names[key] == word
		return !named && (len(word) < keyBeginning/2 || !strings.HasPrefix(key.String(), word))
	})
	revoked := len(keys)
	keys = slices.DeleteFunc(keys, func(key protocol.Key) bool { return slices.Contains(s.Revoked, key) })
	revoked -= len(keys)
	var offers []protocol.Offer
	for _, o := range s.Offers {
		if word != "" && o.For == word {
			offers = append(offers, o)
		}
	}
	hint := "its members: nuka mesh members " + s.Name
	switch {
	case len(keys) == 1 && len(offers) == 0:
		return keys[0], nil, nil
	case len(keys) == 0 && len(offers) == 1:
		return protocol.Key{}, &offers[0], nil
	case len(keys)+len(offers) == 0 && revoked > 0:
		return protocol.Key{}, nil, protocol.Errorf(protocol.NotFound, "mesh %s: %s is revoked already", s.Name, word).WithHint("%s", hint)
	case len(keys)+len(offers) == 0:
		return protocol.Key{}, nil, protocol.Errorf(protocol.NotFound, "mesh %s: no member is called %.60q", s.Name, word).WithHint("%s", hint)
	}
	var all []string
	for _, key := range keys {
		all = append(all, key.String()[:keyBeginning]+"…")
	}
	for range offers {
		all = append(all, "an invitation")
	}
	return protocol.Key{}, nil, protocol.Errorf(protocol.Invalid, "mesh %s: %d are called %s: %s", s.Name, len(all), word, strings.Join(all, ", ")).
		WithHint("give the key or its first characters; %s", hint)
}
