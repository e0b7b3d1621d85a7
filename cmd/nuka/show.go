package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/pir/nuon"
	"github.com/MordragT/nuka/protocol"
)

// maxShown is how many elements of a list a page of nuka show has, so that the page fits a screen.
const maxShown = 6

func (a *app) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "show PKG [flags of the package]",
		Short:   "show a package or content",
		Long:    "Show prints what the package is and what the node knows of it. With --pir it prints the whole description.",
		Example: "  nuka show lua\n  nuka show zlib --minizip\n  nuka show 3lgdxcsu --pir",
	}
	showPIR := c.Flags().Bool("pir", false, "print the description that the PID is the hash of, with build closures as they were written")
	verbose := c.Flags().BoolP("verbose", "v", false, "show all language packages, with their hashes")
	a.jsonFlag(c)
	return a.namedCommand(c, false, func(c *cobra.Command, t *thing, _ string) error {
		client, err := a.connect(c.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		d, err := describe(c.Context(), client, t)
		if err != nil {
			return err
		}
		switch {
		case *showPIR && d.PIR == "":
			return protocol.Errorf(protocol.NotFound, "this node has no description of %s", t.id).WithHint("content has none, and neither has a package that came as another's reference")
		case *showPIR && !a.json:
			return printPIR(a.out, d.PIR)
		case a.json:
			return a.terminal.json(struct {
				*protocol.Description
				Parts []inventory.Part `json:"parts,omitempty"`
			}{d, a.languages(c.Context(), client, t)})
		}
		return a.show(c.Context(), client, d, a.languages(c.Context(), client, t), *verbose)
	})
}

// describe asks the node about a thing. If the node does not know an evaluated package, the result describes it from its evaluation.
func describe(ctx context.Context, client *control.Client, t *thing) (*protocol.Description, error) {
	var d protocol.Description
	err := client.Call(ctx, protocol.OpDescribe, protocol.PathArgs{ID: t.id}, &d, nil)
	if protocol.CodeOf(err) != protocol.NotFound || t.result == nil {
		return &d, err
	}
	i := slices.IndexFunc(t.result.Packages, func(p nu.Package) bool { return p.PID == t.result.Root })
	p, err := pir.Decode(t.result.Packages[i].Canonical)
	if err != nil {
		return nil, err
	}
	return &protocol.Description{PID: t.id, Kind: p.Kind, Name: p.Name, Version: p.Version, PIR: string(t.result.Packages[i].Canonical)}, nil
}

// A page is a table of names and values, in which long lists are cut.
type page struct{ w *tabwriter.Writer }

func (p *page) line(name, value string) {
	if value != "" {
		fmt.Fprintf(p.w, "%s\t%s\n", name, printable(value))
	}
}

func (p *page) list(name string, values []string) {
	for _, v := range values[:min(len(values), maxShown)] {
		p.line(name, v)
	}
	if more := len(values) - maxShown; more > 0 {
		p.line(name, fmt.Sprintf("and %d more: --json", more))
	}
}

// languages adds the language packages in a package.
func (p *page) languages(parts []inventory.Part, verbose bool) {
	summary, lines := languageLines(parts)
	p.line("contains", summary)
	if !verbose {
		p.list("contains", lines)
		return
	}
	for _, text := range hashLines(parts, lines) {
		p.line("contains", text)
	}
}

func (a *app) show(ctx context.Context, client *control.Client, d *protocol.Description, languages []inventory.Part, verbose bool) error {
	p := &page{tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)}
	described, err := pir.Decode([]byte(d.PIR))
	if err != nil {
		described = &pir.PIR{}
	}
	p.line("name", strings.TrimSpace(d.Name+" "+d.Version))
	p.line("kind", string(d.Kind))
	for _, fact := range []string{"description", "license", "homepage"} {
		text, _ := described.Policy[fact].(string)
		p.line(fact, text)
	}
	p.line("pid", d.PID)
	p.line("cid", d.CID)
	if d.Root == nil {
		p.line("size", "not in the store")
	} else {
		p.line("size", size(d.Size))
		a.showCommands(ctx, client, p, d, described)
	}
	if installed, g := a.installedPackage(d.Name); installed != nil && installed.PID.String() == d.PID {
		text := fmt.Sprintf("in generation %d of the profile", g.Number)
		if installed.Pinned {
			text += ", pinned"
		}
		p.line("installed", text)
	}
	p.list("same as", slices.DeleteFunc(slices.Clone(d.PIDs), func(other string) bool { return other == d.PID }))
	inputs := described.Packages
	if !described.Runtime.IsZero() {
		p.line("runtime", described.Runtime.String())
	}
	if !described.Recording.IsZero() {
		p.line("recording", described.Recording.String())
	}
	if one := described.Src.One; !one.IsZero() {
		p.line("source", one.String())
	}
	for _, name := range slices.Sorted(maps.Keys(described.Src.Named)) {
		p.line("source", name+" "+described.Src.Named[name].String())
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		lines = append(lines, name+" "+inputs[name].String())
	}
	p.list("input", lines)
	p.languages(languages, verbose)
	p.list("refers to", d.Refs)
	p.list("origin", d.Origins)
	lines = nil
	for _, at := range d.Attestations {
		lines = append(lines, fmt.Sprintf("%s by %s", at.Issued.Format("2006-01-02 15:04:05"), at.Signer))
	}
	p.list("attested", lines)
	p.list("kept by", rootsOf(ctx, client, d))
	return p.w.Flush()
}

// showCommands adds the commands of a package that is in the store.
func (a *app) showCommands(ctx context.Context, client *control.Client, p *page, d *protocol.Description, described *pir.PIR) {
	commands := described.Commands()
	if id, err := pir.ParsePID(d.PID); err == nil && len(commands) == 0 {
		if commands, err = commandsOf(ctx, client, &nu.Result{}, id); err != nil {
			return // the page is worth more than this line
		}
	}
	p.line("commands", strings.Join(commands, " "))
}

// rootsOf returns the names of the roots that keep a package or content itself.
func rootsOf(ctx context.Context, client *control.Client, d *protocol.Description) (names []string) {
	var roots []protocol.Root
	if client.Call(ctx, protocol.OpRoots, protocol.RootsArgs{List: true}, &roots, nil) != nil {
		return nil // the caller may not list them
	}
	for _, r := range roots {
		if d.PID != "" && r.PID.String() == d.PID || d.PID == "" && d.CID != "" && r.CID == d.CID {
			names = append(names, r.Name)
		}
	}
	return names
}

// printPIR prints a PIR over several lines. Texts of several lines, such as build closures, follow unchanged.
func printPIR(out io.Writer, canonical string) error {
	rec, err := nuon.DecodeRecord([]byte(canonical))
	if err != nil {
		return err
	}
	var b strings.Builder
	layOut(&b, rec, "")
	_, err = io.WriteString(out, printable(b.String()))
	return err
}

// layOut writes the fields of a record, one a line.
func layOut(b *strings.Builder, rec nuon.Record, indent string) {
	for _, name := range slices.Sorted(maps.Keys(rec)) {
		b.WriteString(indent + name + ":")
		layOutValue(b, rec[name], indent)
	}
}

func layOutValue(b *strings.Builder, v any, indent string) {
	switch v := v.(type) {
	case nuon.Record:
		b.WriteString("\n")
		layOut(b, v, indent+"  ")
	case nuon.List:
		b.WriteString("\n")
		for _, e := range v {
			b.WriteString(indent + "  -")
			layOutValue(b, e, indent+"  ")
		}
	case string:
		switch {
		case strings.Contains(v, "\n"):
			b.WriteString("\n" + strings.TrimSuffix(v, "\n") + "\n")
		case v == "" || strings.TrimSpace(v) != v:
			b.WriteString(" " + strconv.Quote(v) + "\n")
		default:
			b.WriteString(" " + v + "\n")
		}
	default:
		text, err := nuon.Encode(v)
		if err != nil {
			text = fmt.Append(nil, v)
		}
		fmt.Fprintf(b, " %s\n", text)
	}
}
