package main

import (
	"fmt"
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
		RunE: func(c *cobra.Command, words []string) error {
			return show(c, protocol.MeshArgs{Action: protocol.ActionCreate, Name: words[0]})
		},
	}
	args := protocol.MeshArgs{Action: protocol.ActionInvite}
	invite := &cobra.Command{
		Use: "invite NAME", Short: "print a ticket that lets one node in", Args: exactArgs("NAME"),
		RunE: func(c *cobra.Command, words []string) error {
			args.Name = words[0]
			m, err := call(c, args)
			if err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(m)
			}
			a.say("the ticket lets one node in, until %s", time.Now().Add(args.For).Format(time.DateTime))
			fmt.Fprintln(a.out, m.Ticket)
			return nil
		},
	}
	invite.Flags().DurationVar(&args.For, "for", 7*24*time.Hour, "how long the ticket holds, `DURATION`")
	invite.Flags().BoolVar(&args.Invites, "may-invite", false, "who comes with it may let others in")
	join := &cobra.Command{
		Use: "join TICKET", Short: "join a mesh by an invitation", Args: exactArgs("TICKET"),
		RunE: func(c *cobra.Command, words []string) error {
			return show(c, protocol.MeshArgs{Action: protocol.ActionJoin, Ticket: words[0]})
		},
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
		RunE: func(c *cobra.Command, words []string) error {
			args := protocol.MeshArgs{}
			if len(words) > 0 {
				args.Name = words[0]
			}
			return show(c, args)
		},
	}
	revoke := &cobra.Command{
		Use: "revoke NAME KEY", Short: "revoke a member: its key is never let in again", Args: exactArgs("NAME", "KEY"),
		RunE: func(c *cobra.Command, words []string) error {
			key, err := protocol.ParseKey(words[1])
			if err != nil {
				return protocol.Errorf(protocol.Invalid, "%v", err).WithHint("its members: nuka mesh members %s", words[0])
			}
			loss := fmt.Sprintf("%s is revoked in the mesh %s for good: a node with this key is never let in again", key, words[0])
			if err := a.confirm(c, loss); err != nil {
				return err
			}
			return show(c, protocol.MeshArgs{Action: protocol.ActionRevoke, Name: words[0], Key: key})
		},
	}
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
		fmt.Fprintf(w, "mesh\t%s\tconnected to %d, until %s\n", printable(s.Name), s.Peers, s.Expires.Format(time.DateOnly))
		fmt.Fprintf(w, "  authority\t%s\t\n", s.Authority)
		for _, member := range s.Members {
			note := "seen " + member.Seen.Format(time.DateTime)
			if member.Invites {
				note += ", may invite"
			}
			fmt.Fprintf(w, "  member\t%s\t%s\n", member.Key, note)
		}
		for _, key := range s.Revoked {
			fmt.Fprintf(w, "  revoked\t%s\t\n", key)
		}
	}
	return w.Flush()
}
