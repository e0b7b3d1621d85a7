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
		Short: "create or join a private network",
		Long: `A mesh is a private network. Its members find each other on the local network and fetch each other's
packages. Content that a node fetched from a mesh stays in that mesh. A node can be in several meshes and in the public
swarm. To limit your own packages to a mesh, write into config.nuon:
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
		Use: "create NAME", Short: "create a mesh with this node as its authority", Args: exactArgs("NAME"),
	}
	own := nameFlag(create, "the name of this node in the mesh, `MEMBER`; the default is the machine's name")
	create.RunE = func(c *cobra.Command, words []string) error {
		return show(c, protocol.MeshArgs{Action: protocol.ActionCreate, Name: words[0], Member: own()})
	}
	invite := a.inviteCommand(call)
	join := &cobra.Command{
		Use: "join TICKET", Short: "join a mesh with an invitation", Args: exactArgs("TICKET"),
		Long: `Join presents an invitation to the node that made it. That node and later members learn the name of this node:
the name in the invitation, else --name, else the machine's name. --name "" sends no name.`,
	}
	name := nameFlag(join, "the name of this node in the mesh, `MEMBER`; the default is the machine's name")
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
		Use: "members [NAME]", Short: "list the known members of a mesh", Args: rangeArgs(0, "NAME"),
		Long: `Members lists the nodes that this node admitted to a mesh or met there, and the open invitations.
The inviter or the member chose the name, so two members may have one name; the keys differ.
A member that leaves a mesh sends no message. It stays in the list, and is no longer seen.`,
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

// confirmLeave explains the effect of leaving a mesh and asks for confirmation. If this node is the mesh's authority, the effect is larger.
func (a *app) confirmLeave(c *cobra.Command, name string) error {
	var m protocol.Meshes
	if err := a.call(c, protocol.OpMesh, protocol.MeshArgs{Name: name}, &m, nil); err != nil {
		return err
	}
	var key protocol.KeyStatus
	if err := a.call(c, protocol.OpKey, protocol.KeyArgs{}, &key, nil); err != nil {
		return err
	}
	loss := "this node leaves the mesh " + name + ": it needs a new invitation to come back, and it serves content of the mesh to nobody"
	if len(m.Meshes) > 0 && m.Meshes[0].Authority == key.Key {
		loss += "; this node is the authority, so nobody can revoke a member again, and nobody renews the members' certificates"
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
