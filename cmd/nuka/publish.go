package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/advisory/feed"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir/cid"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/set"
)

// This file publishes feeds and package sets in the swarm.

// publish uploads a tree to the node, publishes its heads and prints the ticket.
func (a *app) publish(ctx context.Context, files fs.FS, root cid.CID, heads [][]byte) error {
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	r, w := io.Pipe()
	go func() { w.CloseWithError(sendTree(w, files, ".")) }()
	var up protocol.Uploaded
	err = client.Call(ctx, protocol.OpUpload, protocol.UploadArgs{CID: root.String()}, &up, &control.CallOptions{Data: r})
	r.Close() //nolint:errcheck // it never fails
	if err != nil {
		return err
	}
	if up.CID != root.String() {
		return protocol.Errorf(protocol.Mismatch, "publish: the tree is %s, and its head is of %s", up.CID, root).WithHint("files were changed after they were signed: sign them again")
	}
	args := protocol.PublishedArgs{Action: protocol.ActionAdd}
	for _, h := range heads {
		args.Heads = append(args.Heads, string(h))
	}
	var got protocol.PublishedAnswer
	if err := client.Call(ctx, protocol.OpPublished, args, &got, nil); err != nil {
		return err
	}
	if a.json {
		return a.terminal.json(protocol.Shared{Ticket: got.Ticket, Reachable: got.Reachable})
	}
	if !got.Reachable {
		a.say("this node knows none of its addresses beyond this machine, so the ticket works only here")
	}
	_, err = fmt.Fprintln(a.out, got.Ticket)
	return err
}

func (a *app) feedPublish() *cobra.Command {
	c := &cobra.Command{
		Use: "publish FEED", Short: "publish a signed feed in the swarm, as its publisher",
		Long: `Publish gives the feed in the folder FEED, which nuka advisories make has written, to your node, and prints a ticket with which others follow it: nuka advisories subscribe TICKET.
Your node announces the key and serves the feed as long as it runs. Publish again after each nuka advisories make: followers hear of the new head, and get only what changed.`,
		Example: "  nuka advisories make ./osv ./feed\n  nuka advisories publish ./feed",
		Args:    exactArgs("FEED"),
	}
	stop := c.Flags().Bool("stop", false, "stop publishing what the signers of FEED have signed")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		root, err := os.OpenRoot(words[0])
		if err != nil {
			return protocol.Errorf(protocol.NotFound, "publish: %w", err).WithHint("FEED is a folder that nuka advisories make has written")
		}
		defer root.Close()
		heads, err := feed.ReadHeads(root.FS())
		if err == nil && len(heads) == 0 {
			err = fmt.Errorf("%s has no %s", words[0], feed.HeadsFile)
		}
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "publish: %w", err).WithHint("sign it first: nuka advisories make RECORDS %s", words[0])
		}
		if *stop {
			var keys []protocol.Key
			for _, h := range heads {
				keys = append(keys, h.Signer)
			}
			return a.stopPublishing(c.Context(), keys)
		}
		if _, err := feed.OpenTree(root.FS()); err != nil {
			return err
		}
		id, err := feed.HashTree(c.Context(), root.FS())
		if err != nil {
			return err
		}
		var texts [][]byte
		for _, h := range heads {
			if h.Root != id && !h.Revoked {
				continue // of a signer who has not signed this state yet
			}
			text, err := h.Encode()
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		if len(texts) == 0 {
			return protocol.Errorf(protocol.Mismatch, "publish: no head of %s is of the files beside it", feed.HeadsFile).WithHint("sign them again: nuka advisories make RECORDS %s", words[0])
		}
		return a.publish(c.Context(), feed.Files(root.FS()), id, texts)
	}
	return c
}

func (a *app) setPublish() *cobra.Command {
	c := &cobra.Command{
		Use: "publish DIR", Short: "publish a signed package set in the swarm, as its author",
		Long: `Publish gives the set in the folder DIR, which nuka set sign has signed, to your node, and prints a ticket with which others add it: nuka set add NAME TICKET. The ticket stays
valid: nuka set update gets the newest state. Your node announces the key and serves the set as long as it runs. Publish again after each nuka set sign.`,
		Example: "  nuka set sign ~/packages\n  nuka set publish ~/packages",
		Args:    exactArgs("DIR"),
	}
	stop := c.Flags().Bool("stop", false, "stop publishing what the signer of DIR has signed")
	a.jsonFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		at, err := filepath.Abs(words[0])
		if err != nil {
			return err
		}
		tree, err := rootOf(at)
		if err != nil {
			return err
		}
		h, err := set.ReadHead(tree)
		if err != nil {
			return err
		}
		if *stop {
			return a.stopPublishing(c.Context(), []protocol.Key{h.Signer})
		}
		text, err := h.Encode()
		if err != nil {
			return err
		}
		return a.publish(c.Context(), set.Files(tree), h.Root, [][]byte{text})
	}
	return c
}

// stopPublishing makes the node forget keys, and serve nothing of them.
func (a *app) stopPublishing(ctx context.Context, keys []protocol.Key) error {
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Call(ctx, protocol.OpPublished, protocol.PublishedArgs{Action: protocol.ActionRemove, Keys: keys}, nil, nil)
}
