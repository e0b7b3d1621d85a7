package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
)

// attach connects to the node of a ticket, on this machine or another.
func (a *app) attach(ctx context.Context) (*control.Client, error) {
	ticket, err := protocol.ParseTicket(a.node)
	if err != nil {
		return nil, protocol.Errorf(protocol.Invalid, "--node: %w", err).WithHint("ask the node's user for one: nuka daemon ticket")
	}
	key, err := control.LoadKey(a.home.UserKey())
	if err != nil {
		return nil, err
	}
	return control.Attach(ctx, ticket, key)
}

// download reads one file by its CID. If it fails, it leaves no file. It compares the node's bytes with the CID, because the cache serves
// files for other nodes too.
func download(ctx context.Context, client *control.Client, c cid.CID, to string) error {
	f, err := os.CreateTemp(filepath.Dir(to), ".part-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	sum := cid.NewFile(false)
	err = client.Call(ctx, protocol.OpRead, protocol.PathArgs{ID: c.String()}, nil, &control.CallOptions{Reply: io.MultiWriter(f, sum)})
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	plain, _, _, leaves := sum.Finish()
	if exec, _ := cid.FileNodes(leaves, true); plain != c && exec != c {
		return protocol.Errorf(protocol.Mismatch, "read %s: the node sent other bytes", c)
	}
	return os.Rename(f.Name(), to)
}

// ticketCommand returns the command that makes and lists the tickets by which light peers attach to this node.
func (a *app) ticketCommand() *cobra.Command {
	args := protocol.GrantArgs{Action: protocol.ActionAdd}
	var may []string
	c := &cobra.Command{
		Use:   "ticket",
		Short: "print a ticket with which another machine uses this node",
		Long: `Ticket prints a ticket for a light peer on another machine, such as a CI job without a store:
nuka --node TICKET run lua. Every bearer of the ticket has its rights until it expires; store it like a password.
No ticket gives access to the node's policy, key or roots.`,
		Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			args.May = nil
			for _, m := range may {
				args.May = append(args.May, protocol.Right(m))
			}
			var out protocol.Granted
			if err := a.call(c, protocol.OpGrant, args, &out, nil); err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(out)
			}
			fmt.Fprintln(a.out, out.Ticket)
			return nil
		},
	}
	all := make([]string, 0, len(protocol.Rights()))
	for _, r := range protocol.Rights() {
		all = append(all, string(r))
	}
	c.Flags().StringSliceVar(&may, "may", all, "give the bearer the rights `RIGHTS`")
	c.Flags().DurationVar(&args.For, "for", 24*time.Hour, "the invitation expires after `DURATION`")
	a.jsonFlag(c)
	list := &cobra.Command{
		Use: "list", Short: "list the valid tickets", Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var out protocol.Granted
			if err := a.call(c, protocol.OpGrant, protocol.GrantArgs{}, &out, nil); err != nil {
				return err
			}
			return a.showGrants(&out)
		},
	}
	revoke := &cobra.Command{
		Use: "revoke ID", Short: "revoke a ticket", Args: exactArgs("ID"),
		RunE: func(c *cobra.Command, words []string) error {
			if err := a.confirm(c, "this revokes the ticket "+words[0]+" for ever: its users lose access to this node at once"); err != nil {
				return err
			}
			var out protocol.Granted
			if err := a.call(c, protocol.OpGrant, protocol.GrantArgs{Action: protocol.ActionRemove, ID: words[0]}, &out, nil); err != nil {
				return err
			}
			return a.showGrants(&out)
		},
	}
	a.jsonFlag(list)
	a.jsonFlag(revoke)
	a.yesFlag(revoke)
	c.AddCommand(list, revoke)
	return c
}

func (a *app) showGrants(g *protocol.Granted) error {
	if a.json {
		return a.terminal.json(g)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, grant := range g.Grants {
		may := make([]string, len(grant.May))
		for i, m := range grant.May {
			may[i] = string(m)
		}
		fmt.Fprintf(w, "%.12s\t%s\tuntil %s\n", grant.ID, strings.Join(may, ","), grant.Expires.Format(time.DateTime))
	}
	return w.Flush()
}
