package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) shareCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "share PKG [flags of the package]",
		Short: "publish a package to the public swarm, and build it first if it is missing",
		Long: `Share announces a package and the packages that it refers to, and prints a ticket. Another node fetches
the package with: nuka get TICKET. The node gives packages that were not shared to members of its meshes only,
unless a rule in config.nuon says otherwise.`,
		Example: "  nuka share lua\n  nuka share ./hello.nu --nls",
	}
	var o buildOptions
	o.flags(c)
	a.packageFlags(c)
	a.jsonFlag(c)
	c.Long += "\n\n" + namesHelp
	return a.packageCommand(c, func(c *cobra.Command, pkg string, args, rest []string) error {
		if len(rest) > 0 {
			return usage("share: %q: no program runs, so nothing takes this argument", rest[0])
		}
		t, err := a.named(c.Context(), pkg, args)
		if err != nil {
			return err
		}
		client, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		if t.result != nil {
			if _, err := a.realize(c.Context(), client, t.result, &o); err != nil {
				return err
			}
		}
		var s protocol.Shared
		if err := client.Call(c.Context(), protocol.OpShare, protocol.PathArgs{ID: t.id}, &s, nil); err != nil {
			return err
		}
		if a.json {
			return a.terminal.json(s)
		}
		if !s.Reachable {
			a.say("this node knows none of its addresses beyond this machine, so the ticket works only here")
		}
		fmt.Fprintln(a.out, s.Ticket)
		return nil
	})
}

func (a *app) getCommand() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use:   "get TICKET|PID|CID",
		Short: "fetch a package from other nodes by ticket, PID or CID",
		Long: `Get fetches a package from other nodes and builds nothing. The policy (nuka trust) decides which content a PID has;
a ticket does not. A CID is its own proof and needs no policy.`,
		Args: exactArgs("TICKET"),
		RunE: func(c *cobra.Command, words []string) error {
			client, err := a.connect(c.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			progress := newProgress(a.terminal, verbose)
			var realized protocol.Realized
			err = client.Call(c.Context(), protocol.OpGet, protocol.GetArgs{What: words[0], Offline: a.offline}, &realized,
				&control.CallOptions{Event: progress.event})
			progress.close()
			if err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(realized)
			}
			for _, out := range realized.Outputs {
				if out.PID.IsZero() {
					fmt.Fprintln(a.out, out.CID)
				} else {
					fmt.Fprintf(a.out, "%s %s\n", out.PID, out.CID)
				}
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "print more progress")
	c.Flags().BoolVar(&a.offline, "offline", false, "use no network: only look into the store")
	a.jsonFlag(c)
	return c
}

func (a *app) peersCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "peers",
		Short: "list the connected nodes",
		Args:  exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error {
			var peers []protocol.Peer
			if err := a.call(c, protocol.OpPeers, nil, &peers, nil); err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(peers)
			}
			if len(peers) == 0 {
				a.say("this node is connected to no other node")
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, p := range peers {
				direction := "outbound"
				if p.Inbound {
					direction = "inbound"
				}
				where := p.Mesh
				if where == "" {
					where = "public"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s received\t%s sent\n", p.Key, printable(where), printable(p.Address), direction,
					p.Latency.Round(10*time.Microsecond), size(p.Received), size(p.Sent))
			}
			return w.Flush()
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) swarmCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "swarm",
		Short: "show swarm status and connect to peers",
		Long: `Swarm shows and changes how this node finds peers. The node joins the public swarm when it has a reason:
a shared package, a trusted key, or a bootstrap peer.`,
	})
	show := func(c *cobra.Command, args protocol.SwarmArgs) error {
		var s protocol.SwarmStatus
		if err := a.call(c, protocol.OpSwarm, args, &s, nil); err != nil {
			return err
		}
		return a.showSwarm(&s)
	}
	status := &cobra.Command{
		Use: "status", Short: "show swarm status", Args: exactArgs(),
		RunE: func(c *cobra.Command, _ []string) error { return show(c, protocol.SwarmArgs{}) },
	}
	connect := &cobra.Command{
		Use: "connect ADDRESS|TICKET", Short: "connect to a node now", Args: exactArgs("ADDRESS"),
		RunE: func(c *cobra.Command, words []string) error {
			return show(c, protocol.SwarmArgs{Action: protocol.ActionConnect, Address: words[0]})
		},
	}
	var remove bool
	bootstrap := &cobra.Command{
		Use: "bootstrap [ADDRESS|TICKET]", Short: "list the bootstrap peers, or add one", Args: rangeArgs(0, "ADDRESS"),
		RunE: func(c *cobra.Command, words []string) error {
			args := protocol.SwarmArgs{}
			if len(words) > 0 {
				args = protocol.SwarmArgs{Action: protocol.ActionAdd, Address: words[0]}
				if remove {
					args.Action = protocol.ActionRemove
				}
			}
			var s protocol.SwarmStatus
			if err := a.call(c, protocol.OpSwarm, args, &s, nil); err != nil {
				return err
			}
			if a.json {
				return a.terminal.json(s.Bootstrap)
			}
			for _, b := range s.Bootstrap {
				fmt.Fprintln(a.out, printable(b))
			}
			return nil
		},
	}
	bootstrap.Flags().BoolVar(&remove, "remove", false, "remove the node from the list")
	for _, sub := range []*cobra.Command{status, connect, bootstrap} {
		a.jsonFlag(sub)
		c.AddCommand(sub)
	}
	return c
}

func (a *app) showSwarm(s *protocol.SwarmStatus) error {
	if a.json {
		return a.terminal.json(s)
	}
	if !s.Running {
		a.say("this node is in no swarm: it shares no package, trusts no signer and has no bootstrap peer")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, address := range s.Addresses {
		fmt.Fprintf(w, "address\t%s\n", printable(address))
	}
	for _, b := range s.Bootstrap {
		fmt.Fprintf(w, "bootstrap\t%s\n", printable(b))
	}
	fmt.Fprintf(w, "peers\t%d\n", s.Peers)
	fmt.Fprintf(w, "routing table\t%d\n", s.Table)
	fmt.Fprintf(w, "announced\t%d\n", s.Provided)
	fmt.Fprintf(w, "ticket\t%s\n", s.Ticket)
	return w.Flush()
}

func (a *app) keyCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use:   "key",
		Short: "show, replace or revoke the node's key",
		Long: `The node signs its statements about builds with this key, and other nodes know it by this key.
After a change the node restarts with the new key and signs its statements again.`,
	})
	command := func(use, short string, action protocol.Action, loss string) *cobra.Command {
		sub := &cobra.Command{
			Use: use, Short: short, Args: exactArgs(),
			RunE: func(c *cobra.Command, _ []string) error {
				if loss != "" {
					if err := a.confirm(c, loss); err != nil {
						return err
					}
				}
				var s protocol.KeyStatus
				if err := a.call(c, protocol.OpKey, protocol.KeyArgs{Action: action}, &s, nil); err != nil {
					return err
				}
				return a.showKey(&s)
			},
		}
		a.jsonFlag(sub)
		if loss != "" {
			a.yesFlag(sub)
		}
		return sub
	}
	c.AddCommand(command("show", "show the node's key", "", ""),
		command("rotate", "replace the key and announce the new key as its successor", protocol.ActionRotate, rotateLoss),
		command("revoke", "replace the key and announce that the old key is void", protocol.ActionRevoke, revokeLoss))
	return c
}

// These texts explain what a change of the key takes away. Neither can be undone: other nodes keep the last head of the old key.
const (
	rotateLoss = "this replaces the node's key for ever: users who trust this node must trust the new key, and each mesh must invite it again"
	revokeLoss = "this replaces the node's key and announces that the old key is void, for ever: " +
		"statements signed by the old key count nowhere, users who trust this node must trust the new key, and each mesh must invite it again"
)

func (a *app) showKey(s *protocol.KeyStatus) error {
	if a.json {
		return a.terminal.json(s)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "key\t%s\n", s.Key)
	fmt.Fprintf(w, "peer\t%s\n", s.Peer)
	if s.Number > 0 {
		fmt.Fprintf(w, "head\t%d, valid until %s\n", s.Number, s.Expires.Format(time.DateTime))
	}
	for _, before := range s.Before {
		fmt.Fprintf(w, "before\t%s\n", before)
	}
	return w.Flush()
}
