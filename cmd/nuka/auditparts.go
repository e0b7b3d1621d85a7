package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/MordragT/nuka/advisory"
	"github.com/MordragT/nuka/advisory/osv"
	"github.com/MordragT/nuka/ecosystem"
	"github.com/MordragT/nuka/internal/atomicfile"
	"github.com/MordragT/nuka/inventory"
	"github.com/MordragT/nuka/node/control"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// This file finds what an audit looks at: the parts of all packages that roots keep.

// ecosystems maps the types of package URLs to ecosystems, as OSV names them.
var ecosystems = map[string]string{
	"golang": "Go", "npm": "npm", "pypi": "PyPI", "cargo": "crates" + ".io", "maven": "Maven", "deb": "Debian",
}

// An auditRoot is a package that a user keeps.
type auditRoot struct {
	name      string // such as profile/default, or user/tools
	thing     thing
	pid       pir.PID
	installed *auditInstalled // nil unless it is installed in a profile
}

// auditInstalled is what is known of a package because it was installed by name.
type auditInstalled struct {
	profile, name string
	asked         asked
	version       string
	pinned        bool
}

// auditRoots returns what is live: the packages of the generation in use of each profile, the roots of the user, and content that was got.
func (a *app) auditRoots(ctx context.Context, client *control.Client) (out []auditRoot, err error) {
	if a.node == "" {
		if out, err = a.installedRoots(); err != nil {
			return nil, err
		}
	}
	for _, prefix := range []string{protocol.RootUser, protocol.RootGot} {
		var roots []protocol.Root
		if err := client.Call(ctx, protocol.OpRoots, protocol.RootsArgs{List: true, Prefix: prefix}, &roots, nil); err != nil {
			return nil, err
		}
		for _, r := range roots {
			out = append(out, auditRoot{name: r.Name, pid: r.PID, thing: thing{id: r.PID.String()}})
		}
	}
	return out, nil
}

// An auditWalk collects the uses of parts.
type auditWalk struct {
	a      *app
	client *control.Client
	sets   map[pir.PID]string // the package sets that are known to have a package
	uses   []advisory.Use
	// missing are reasons why the parts of a root may not be all.
	missing map[string]bool
}

// root adds the parts of a root.
func (w *auditWalk) root(ctx context.Context, r *auditRoot) error {
	if r.pid.IsZero() {
		w.uses = append(w.uses, advisory.Use{Root: r.name, Part: advisory.Part{Name: r.name}, Unknown: "it is content without a description: only a PID tells what something is made from"})
		return nil
	}
	all, err := w.inventory(ctx, r)
	if protocol.CodeOf(err) == protocol.NotFound {
		w.uses = append(w.uses, advisory.Use{Root: r.name, Part: advisory.Part{Name: r.name}, Unknown: "this node has no description of it"})
		return nil
	}
	if err != nil {
		return err
	}
	for _, why := range all.Missing {
		w.missing[why] = true
	}
	w.uses = append(w.uses, w.usesOf(all, r)...)
	return nil
}

// inventory returns the parts of a root: from the cache, if an earlier audit found all of them.
func (w *auditWalk) inventory(ctx context.Context, r *auditRoot) (*inventory.Inventory, error) {
	if r.thing.result != nil || w.a.node != "" {
		return w.a.inventory(ctx, w.client, &r.thing, false)
	}
	at := filepath.Join(w.a.home.Audits(), r.pid.String()+".json")
	if text, err := os.ReadFile(at); err == nil {
		var kept keptInventory
		if json.Unmarshal(text, &kept) == nil && kept.Form == auditForm && kept.Inventory.Root.PID == r.pid {
			return &kept.Inventory, nil
		}
	}
	all, err := w.a.inventory(ctx, w.client, &r.thing, false)
	if err != nil || len(all.Missing) > 0 || !built(ctx, w.client, r.pid) {
		return all, err
	}
	if text, err := json.Marshal(keptInventory{auditForm, *all}); err == nil && os.MkdirAll(filepath.Dir(at), 0o700) == nil {
		_ = atomicfile.Replace(at, text) // it is a cache
	}
	return all, nil
}

// auditForm is the form of a kept inventory.
const auditForm = 2

// A keptInventory is an inventory in the cache. It is whole, and a PID has the same content always, so it never changes.
type keptInventory struct {
	Form      int
	Inventory inventory.Inventory
}

// built reports whether the content of a package is on the node: what its files name may otherwise be missing.
func built(ctx context.Context, client *control.Client, id pir.PID) bool {
	var entries []protocol.Entry
	return client.Call(ctx, protocol.OpList, protocol.PathArgs{ID: id.String()}, &entries, nil) == nil
}

// usesOf returns the uses of the parts of an inventory.
func (w *auditWalk) usesOf(all *inventory.Inventory, r *auditRoot) (out []advisory.Use) {
	paths := pathsOf(all)
	release := debianRelease(all)
	root := w.step(&all.Root)
	if r.installed != nil {
		root.Known, root.Flags = true, flagsOf(r.installed.asked.args)
		if set, _, ok := strings.Cut(r.installed.asked.pkg, "/"); ok && root.Set == "" && !isFile(r.installed.asked.pkg) {
			root.Set = set
		}
	}
	for i := range all.Parts {
		p := &all.Parts[i]
		if p.Where == inventory.Package || p.Type == "generic" && p.PID != (pir.PID{}) {
			continue
		}
		part, unknown := partOf(p, release)
		use := advisory.Use{Part: part, Root: r.name, Tool: p.Tool, Unknown: unknown}
		if class, says, ok := ecosystem.SplitNotice(p.Notice); ok {
			use.Notice, use.Says = osv.Notice(class), says
		}
		if p.Where == inventory.Language && p.Seen == inventory.Fetched {
			use.Note = "for the build only, or bundled"
		}
		of := p.Of
		if len(of) == 0 {
			of = []pir.PID{all.Root.PID}
		}
		for _, id := range of {
			one := use
			for _, at := range paths[id] {
				if at == all.Root.PID {
					one.Path = append(one.Path, root)
					continue
				}
				one.Path = append(one.Path, w.stepOf(all, at))
			}
			out = append(out, one)
		}
	}
	return out
}

// pathsOf returns the shortest way from the root to each package of nuka in an inventory, preferring ways that no tool is on.
func pathsOf(all *inventory.Inventory) map[pir.PID][]pir.PID {
	below := map[pir.PID][]pir.PID{}
	tools := map[pir.PID]bool{}
	for i := range all.Parts {
		p := &all.Parts[i]
		if p.PID.IsZero() {
			continue
		}
		tools[p.PID] = p.Tool
		for _, of := range p.Of {
			below[of] = append(below[of], p.PID)
		}
	}
	paths := map[pir.PID][]pir.PID{all.Root.PID: {all.Root.PID}}
	for _, withTools := range []bool{false, true} {
		var queue []pir.PID
		for id := range paths {
			queue = append(queue, id)
		}
		slices.SortFunc(queue, func(a, b pir.PID) int { return slices.Compare(a[:], b[:]) })
		for i := 0; i < len(queue); i++ {
			for _, id := range below[queue[i]] {
				if _, known := paths[id]; known || tools[id] && !withTools {
					continue
				}
				paths[id] = append(slices.Clone(paths[queue[i]]), id)
				queue = append(queue, id)
			}
		}
	}
	return paths
}

func (w *auditWalk) stepOf(all *inventory.Inventory, id pir.PID) advisory.Step {
	for i := range all.Parts {
		if all.Parts[i].PID == id {
			return w.step(&all.Parts[i])
		}
	}
	return advisory.Step{PID: id, Name: id.Short()}
}

func (w *auditWalk) step(p *inventory.Part) advisory.Step {
	s := advisory.Step{PID: p.PID, Name: p.Name, Version: p.Version, Fixes: p.Fixes, Set: w.sets[p.PID]}
	s.Known = s.Set != "" // the index of a set has packages as they are without flags
	return s
}

// flagsOf reads the flags of a package, as typed: --name, --name=false.
func flagsOf(words []string) map[string]bool {
	out := map[string]bool{}
	for _, word := range words {
		name, value, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
		if strings.HasPrefix(word, "--") {
			out[name] = value != "false"
		}
	}
	return out
}

var debianBase = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9]+)`) })

// debianRelease returns the release of Debian whose packages a runtime has, by the version of base-files, which is that of the release. "" is unknown, or several.
func debianRelease(all *inventory.Inventory) string {
	release := ""
	for i := range all.Parts {
		p := &all.Parts[i]
		if p.Type != "deb" || p.Name != "base-files" {
			continue
		}
		m := debianBase().FindString(p.Version)
		if release != "" && release != m {
			return ""
		}
		release = m
	}
	return release
}

// partOf returns the part that OSV knows an inventory's part by, or why there is none.
func partOf(p *inventory.Part, release string) (part advisory.Part, unknown string) {
	ecosystem := ecosystems[p.Type]
	part = advisory.Part{Ecosystem: ecosystem, Name: osv.Name(ecosystem, p.Name), Version: p.Version}
	switch {
	case ecosystem == "":
		part.Ecosystem = ""
		return part, "it is from no registry, and its packager has not said what it is (field parts)"
	case p.Type == "deb" && strings.Contains(p.PURL, "arch=source"):
		part.Release = releaseOf(p.Version, "")
		return part, ""
	case p.Type == "deb":
		if p.Upstream == "" {
			return part, "its source package is not known: the package is not on this node"
		}
		part.Name, part.Version, part.Release = p.Upstream, p.UpstreamVersion, releaseOf(p.UpstreamVersion, release)
		return part, ""
	case p.Type == "golang" && part.Name == "stdlib":
		part.Version = goVersion(p.Version)
	}
	return part, ""
}

var debianSuffix = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[+~]deb([0-9]+)u[0-9]+$`) })

// releaseOf returns the release of Debian that a version is of: updates of a release say so. otherwise is the answer for others.
func releaseOf(version, otherwise string) string {
	if m := debianSuffix().FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return otherwise
}

var goRelease = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9]+\.[0-9]+)(\.[0-9]+)?(rc|beta|alpha)([0-9]+)$`)
})

// goVersion returns the version of Go's standard library as the records write it: 1.26rc1 is 1.26.0-rc.1.
func goVersion(v string) string {
	m := goRelease().FindStringSubmatch(v)
	if m == nil {
		return v
	}
	patch := m[2]
	if patch == "" {
		patch = ".0"
	}
	return m[1] + patch + "-" + m[3] + "." + m[4]
}

// setsOf returns which package set has each package, by the indexes of the sets: without flags, as the sets describe them.
func (a *app) setsOf() (map[pir.PID]string, error) {
	out := map[pir.PID]string{}
	if a.node != "" {
		return out, nil
	}
	folder, err := a.setFolder()
	if err != nil {
		return nil, err
	}
	list, err := folder.List()
	if err != nil {
		return nil, err
	}
	for i := range list {
		x, err := folder.Index(&list[i])
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue // nuka set list says what is wrong with it; no statement counts for it meanwhile
		}
		entries, err := x.Entries()
		if err != nil {
			continue
		}
		for _, e := range entries {
			if !e.PID.IsZero() {
				out[e.PID] = list[i].Name
			}
		}
	}
	return out, nil
}
