package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
)

func (a *app) meshCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "mesh",
		Short: "make and join private networks",
		Long: `A mesh is a network of nodes that let each other in. Its members find each other on the local network by
themselves, and get each other's packages; those that come out of it never leave it. A node can be in several, and in
the public swarm as well. To keep your own packages in one, write into config.nuon:
{share: [{names: "work-*", with: "mesh:team"}]}`,
		Example: "  nuka mesh create team\n  nuka mesh invite team\n  nuka mesh join nuka-…",
	})
	call := func(c *cobra.Command, args protocol.MeshArgs) (*protocol.Meshes, error) {
		var m protocol.Meshes
		err := a.call(c, protocol.OpMesh, args, &m, nil)
		return &m, err
	}
	show := func(c *cobra.Command, args protocol.MeshArgs) error {
		m, err := call(c, args)
		if err != nil {
			return err
		}
		return a.showMeshes(m)
	}
	create := &cobra.Command{
		Use: "create NAME", Short: "make a mesh, of which this node is the authority", Args: exactArgs("NAME"),
	}
	own := nameFlag(create, "what this node is called in the mesh, `MEMBER`; this machine's name if not given")
	create.RunE = func(c *cobra.Command, words []string) error {
		return show(c, protocol.MeshArgs{Action: protocol.ActionCreate, Name: words[0], Member: own()})
	}
	invite := a.inviteCommand(call)
	join := &cobra.Command{
		Use: "join TICKET", Short: "join a mesh by an invitation", Args: exactArgs("TICKET"),
		Long: `Join shows an invitation to the node that made it. That node and those that join later are told what this node is called:
--name, or this machine's name; --name "" tells them nothing. A name in the invitation comes first.`,
	}
	name := nameFlag(join, "what this node is called in the mesh, `MEMBER`; this machine's name if not given")
	join.RunE = func(c *cobra.Command, words []string) error {
		return show(c, protocol.MeshArgs{Action: protocol.ActionJoin, Ticket: words[0], Member: name()})
	}
	leave := &cobra.Command{
		Use: "leave NAME", Short: "leave a mesh", Args: exactArgs("NAME"),
		RunE: func(c *cobra.Command, words []string) error {
			if err := a.confirmLeave(c, words[0]); err != nil {
				return err
			}
			return show(c, protocol.MeshArgs{Action: protocol.ActionLeave, Name: words[0]})
		},
	}
	members := &cobra.Command{
		Use: "members [NAME]", Short: "list the members that this node knows of", Args: rangeArgs(0, "NAME"),
		Long: `Members lists who was let into a mesh by this node, or seen there, with the invitations that still let somebody in.
What members are called is their inviter's word or their own, so two may have one name; the key is what tells them apart.
A member that leaves tells nobody: it is not seen any more.`,
		RunE: func(c *cobra.Command, words []string) error {
			args := protocol.MeshArgs{}
			if len(words) > 0 {
				args.Name = words[0]
			}
			return show(c, args)
		},
	}
	revoke := a.revokeCommand(call)
	for _, sub := range []*cobra.Command{invite, leave, members} {
		sub.ValidArgsFunction = completeWords(a.offerMeshes)
	}
	revoke.ValidArgsFunction = completeWords(a.offerMeshes, a.offerMembers)
	a.yesFlag(leave)
	a.yesFlag(revoke)
	for _, sub := range []*cobra.Command{create, invite, join, leave, members, revoke} {
		a.jsonFlag(sub)
		c.AddCommand(sub)
	}
	return c
}

// confirmLeave says what leaving a mesh means here, which is more for its authority, and asks.
func (a *app) confirmLeave(c *cobra.Command, name string) error {
	var m protocol.Meshes
	if err := a.call(c, protocol.OpMesh, protocol.MeshArgs{Name: name}, &m, nil); err != nil {
		return err
	}
	var key protocol.KeyStatus
	if err := a.call(c, protocol.OpKey, protocol.KeyArgs{}, &key, nil); err != nil {
		return err
	}
	loss := "this node leaves the mesh " + name + ": it needs a new invitation to come back, and what came out of the mesh is given to nobody any more"
	if len(m.Meshes) > 0 && m.Meshes[0].Authority == key.Key {
		loss += "; this node is the authority, so no member can ever be revoked again, and its members' certificates end without renewal"
	}
	return a.confirm(c, loss)
}

func (a *app) showMeshes(m *protocol.Meshes) error {
	if a.json {
		return a.terminal.json(m.Meshes)
	}
	if len(m.Meshes) == 0 {
		a.say("this node is in no mesh")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, s := range m.Meshes {
		name := func(key protocol.Key) string { return cmp.Or(printable(s.Names[key]), "-") }
		fmt.Fprintf(w, "mesh\t%s\tconnected to %d, until %s\n", printable(s.Name), s.Peers, s.Expires.Format(time.DateOnly))
		authority := fmt.Sprintf("  authority\t%s\t%s\t", s.Authority, name(s.Authority))
		var members strings.Builder
		for _, member := range s.Members {
			note := "seen " + member.Seen.Format(time.DateTime)
			if member.Key == s.Authority {
				authority += note
				continue
			}
			if member.Invites {
				note += ", may invite"
			}
			fmt.Fprintf(&members, "  member\t%s\t%s\t%s\n", member.Key, name(member.Key), note)
		}
		fmt.Fprintf(w, "%s\n%s", authority, members.String())
		for _, o := range s.Offers {
			fmt.Fprintf(w, "  invited\t-\t%s\tuntil %s\n", cmp.Or(printable(o.For), "-"), o.Expires.Format(time.DateTime))
		}
		for _, key := range s.Revoked {
			fmt.Fprintf(w, "  revoked\t%s\t%s\n", key, name(key))
		}
	}
	return w.Flush()
}
