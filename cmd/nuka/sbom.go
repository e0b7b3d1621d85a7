package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) sbomCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sbom PKG [flags of the package]",
		Short: "write what a package is made of, as CycloneDX or SPDX",
		Long: `Sbom writes a list (a software bill of materials) of what a package and everything below it is made of: the language packages of its recordings, the Debian
packages of its runtimes, and its sources, each with package URL, version, hashes, license and origin as far as they are known. It builds nothing. If the
package was built, the list tells which language packages its content names.

The same package gives the same bytes. The file has a time only if SOURCE_DATE_EPOCH is set.`,
		Example: "  nuka sbom httpie\n  nuka sbom ./tool.nu --format spdx -o tool.spdx.json",
	}
	format := c.Flags().String("format", string(inventory.CycloneDX), "cyclonedx (CycloneDX 1.6, JSON) or spdx (SPDX 2.3, JSON)")
	output := c.Flags().StringP("output", "o", "", "write to `FILE` instead of the standard output")
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		if !slices.Contains(inventory.Formats(), inventory.Format(*format)) {
			return usage("sbom: format %.40q: want %s or %s", *format, inventory.CycloneDX, inventory.SPDX)
		}
		o := &inventory.WriteOptions{Tool: "nuka-" + version}
		if text := os.Getenv("SOURCE_DATE_EPOCH"); text != "" {
			seconds, err := strconv.ParseInt(text, 10, 64)
			if err != nil || seconds < 0 || seconds > maxEpoch {
				return usage("sbom: SOURCE_DATE_EPOCH is %.40q: want seconds since 1970", text)
			}
			o.Created = time.Unix(seconds, 0)
		}
		client, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		all, err := a.inventory(c.Context(), client, t, false)
		if err != nil {
			return err
		}
		for _, why := range all.Missing {
			a.say("the list is not whole: %s", printable(why))
		}
		if *output == "" {
			return inventory.Write(a.out, all, inventory.Format(*format), o)
		}
		var text bytes.Buffer
		if err := inventory.Write(&text, all, inventory.Format(*format), o); err != nil {
			return err
		}
		return writeShared(*output, nil, text.Bytes())
	})
}

// maxEpoch is the last second that RFC 3339 can write.
const maxEpoch = 253402300799

// inventory asks the node for the parts of a thing. own leaves out its inputs, runtime and sources.
func (a *app) inventory(ctx context.Context, client *control.Client, t *thing, own bool) (*inventory.Inventory, error) {
	args := protocol.InventoryArgs{ID: t.id, Own: own}
	var data io.Reader
	if t.result != nil {
		if err := a.upload(ctx, client, &nu.Result{Paths: recordingsOf(t.result)}); err != nil {
			return nil, err
		}
		realize, packages := a.realizeArgs(t.result)
		args.RealizeArgs, data = *realize, packages
	}
	var lines bytes.Buffer
	if err := client.Call(ctx, protocol.OpInventory, args, nil, &control.CallOptions{Data: data, Reply: &lines}); err != nil {
		return nil, err
	}
	text := json.NewDecoder(&lines)
	var head protocol.InventoryHead[inventory.Part]
	if err := text.Decode(&head); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	all := &inventory.Inventory{Root: head.Root, Missing: head.Missing, Parts: []inventory.Part{}}
	for {
		var p inventory.Part
		err := text.Decode(&p)
		if errors.Is(err, io.EOF) && len(all.Parts) == head.Parts {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("inventory: %d of %d parts: %w", len(all.Parts), head.Parts, err)
		}
		all.Parts = append(all.Parts, p)
	}
}

// recordingsOf returns the recordings among the files that an evaluation named: an inventory needs no others.
func recordingsOf(result *nu.Result) []nu.PathInput {
	wanted := map[pir.PID]bool{}
	for _, p := range result.Packages {
		if d, err := pir.Decode(p.Canonical); err == nil && d.Layout == pir.LayoutFiles1 {
			wanted[d.Packages[ecosystem.RecordingFile]] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(result.Paths), func(p nu.PathInput) bool { return !wanted[p.PID] })
}

// languages returns the language packages in a thing. If the node cannot tell them, there are none: the page that shows them is worth more than the list.
func (a *app) languages(ctx context.Context, client *control.Client, t *thing) []inventory.Part {
	all, err := a.inventory(ctx, client, t, true)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all.Parts, func(p inventory.Part) bool { return p.Where != inventory.Language })
}

// languageLines returns how many language packages there are, and a line for each.
func languageLines(parts []inventory.Part) (summary string, lines []string) {
	count, fetched := map[string]int{}, 0
	for i := range parts {
		p := &parts[i]
		count[p.Type]++
		text := p.Name + " " + p.Version
		if p.License != "" {
			text += ", " + p.License
		}
		if p.Seen == inventory.Fetched {
			fetched++
			text += ", for the build only, or bundled"
		}
		lines = append(lines, text)
	}
	var kinds []string
	for _, kind := range []string{"pypi", "npm", "cargo", "golang", "maven", "generic"} {
		if n := count[kind]; n > 0 {
			kinds = append(kinds, counted(n, kind+" package"))
		}
	}
	summary = strings.Join(kinds, ", ")
	if fetched > 0 {
		summary += fmt.Sprintf("; the content does not name %d of them", fetched)
	}
	return summary, lines
}

// hashLines adds to each line of languageLines the hash of its main file.
func hashLines(parts []inventory.Part, lines []string) []string {
	out := slices.Clone(lines)
	for i := range parts {
		if files := parts[i].Files; len(files) > 0 && files[0].Content != "" {
			out[i] += ", " + files[0].Content
		}
		if files := parts[i].Files; len(files) > 0 && files[0].Checked != "" {
			out[i] += ", checked " + files[0].Checked
		}
	}
	return out
}
