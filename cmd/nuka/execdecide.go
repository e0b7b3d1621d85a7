package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/nu"
	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/protocol"
)

// decide sets the permissions of a run: those that the packages ask for and the user agrees to, those that the user keeps for the application, and those of
// the command line.
func (a *app) decide(c *cobra.Command, b *foreign.Box, results []*nu.Result, o *execOptions) error {
	var wanted []permission.Permission
	for _, r := range results {
		list, err := permissionsOf(r)
		if err != nil {
			return protocol.Errorf(protocol.Invalid, "%s: %w", r.Name, err)
		}
		wanted = append(wanted, list...)
	}
	given, err := a.parsePermissions("--allow", o.allow)
	if err != nil {
		return err
	}
	return a.decideOn(c, b, wanted, given)
}

// decideOn sets the permissions of a run: of those that are wanted the ones that the user agrees to, those that the user keeps for the application, and those
// given for this run.
func (a *app) decideOn(c *cobra.Command, b *foreign.Box, wanted, given []permission.Permission) error {
	entry, err := a.book().Get(b.App)
	if err != nil {
		return err
	}
	if fresh := permission.Sort(entry.New(wanted)); len(fresh) > 0 {
		var what strings.Builder
		what.WriteString("the application " + b.App + " asks to:")
		for _, p := range fresh {
			what.WriteString("\n  " + p.Says())
		}
		if err := a.confirm(c, what.String()); err != nil {
			return err
		}
		err := a.book().Change(c.Context(), b.App, func(e *permission.Entry) error {
			e.Seen = append(e.Seen, fresh...)
			entry = *e
			return nil
		})
		if err != nil {
			return err
		}
	}
	list := entry.Effective(wanted)
	for i, p := range list { // of packages, with ~
		if list[i], err = p.Resolve(a.user, ""); err != nil {
			return protocol.Errorf(protocol.Invalid, "%s: %w", p, err)
		}
	}
	list = append(list, given...)
	b.Grants, b.Given = permission.Sort(list), given
	b.Home = a.home.AppHome(b.App)
	return os.MkdirAll(b.Home, 0o700)
}

// permissionsOf returns the permissions that an evaluated package asks for.
func permissionsOf(r *nu.Result) ([]permission.Permission, error) {
	root, err := rootPIR(r)
	if err != nil {
		return nil, err
	}
	return wantedBy(root)
}

// wantedBy returns the permissions that a package asks for.
func wantedBy(p *pir.PIR) ([]permission.Permission, error) {
	if p.Run["permissions"] == nil {
		return nil, nil
	}
	return permission.FromRecord(p.Run["permissions"])
}

// rootPIR returns the PIR of the package that was evaluated.
func rootPIR(r *nu.Result) (*pir.PIR, error) {
	for _, p := range r.Packages {
		if p.PID == r.Root {
			return pir.Decode(p.Canonical)
		}
	}
	return nil, protocol.Errorf(protocol.Internal, "the evaluation of %s has no description of it", r.Name)
}
