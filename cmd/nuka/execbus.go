package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/MordragT/nuka/foreign"
	"github.com/MordragT/nuka/foreign/bus"
	"github.com/MordragT/nuka/foreign/permission"
	"github.com/MordragT/nuka/protocol"
	"github.com/MordragT/nuka/sandbox"
)

// filterCommand is the command of the filter between a foreign program and the session bus.
const filterCommand = "__bus-filter"

// wantsBus reports whether a program gets the session bus, by way of a filter: one with windows, which the portals serve, or with names on the bus.
func wantsBus(grants []permission.Permission) bool {
	return slices.ContainsFunc(grants, func(p permission.Permission) bool {
		return p.Kind == permission.DBus || p.Kind == permission.Socket && (p.Name == "wayland" || p.Name == "x11")
	})
}

// sessionBus returns the address of the user's session bus, and "" if there is none.
func sessionBus() string {
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return address
	}
	at := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "bus")
	if info, err := os.Stat(at); err == nil && filepath.IsAbs(at) && info.Mode()&os.ModeSocket != 0 {
		return "unix:path=" + at
	}
	return ""
}

// startFilter starts a filter of the session bus for a run, and adds its socket and the documents of the application to the layout. The filter runs until stop.
func (a *app) startFilter(ctx context.Context, launcher string, layout *foreign.Layout, b *foreign.Box) (stop func(), err error) {
	address := sessionBus()
	if address == "" {
		layout.Notes = append(layout.Notes, "there is no session bus, so the program has no portals")
		return func() {}, nil
	}
	at, err := bus.SocketOf(address)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nuka-bus-")
	if err != nil {
		return nil, err
	}
	stop = func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			stop()
		}
	}()
	id := bus.AppID(b.App)
	policy, args := busPolicy(id, b.Grants)
	info := bus.FlatpakInfo(&bus.Instance{
		App: id, ID: strconv.Itoa(os.Getpid()), Runtime: b.App, Network: layout.Network, Sockets: socketsOf(b.Grants), Policy: policy,
	})
	socket := filepath.Join(dir, "bus")
	filter, err := runFilter(ctx, launcher, socket, at, info, append(args, "--bus", address, "--app", id), a.busLog(b.App))
	if err != nil {
		return nil, err
	}
	stop = func() {
		filter()
		os.RemoveAll(dir)
	}
	layout.AddBus(b, socket, info)
	documents, err := bus.StartDocuments(ctx, address)
	if err != nil { // a session without portals is no fault of the program
		layout.Notes = append(layout.Notes, protocol.AsError(err).Message)
		return stop, nil
	}
	for _, bind := range bus.DocumentBinds(documents, id) {
		layout.Mounts = append(layout.Mounts, sandbox.Mount{Kind: sandbox.RW, Source: bind.Source, Target: bind.Target})
	}
	return stop, layout.Places(b)
}

// busLog returns the file that says what a program was refused on the session bus.
func (a *app) busLog(app string) string { return a.appFile(".bus", app) }

// busPolicy returns the policy of an application, and the arguments of the filter for it.
func busPolicy(id string, grants []permission.Permission) (*bus.Policy, []string) {
	p := &bus.Policy{}
	p.AddApplication(id)
	var args []string
	for _, g := range grants {
		if g.Kind != permission.DBus {
			continue
		}
		args = append(args, "--"+g.Access, g.Name)
		if _, access, err := bus.ParsePermission(g.Name + ":" + g.Access); err == nil {
			p.Names[g.Name] = access
		}
	}
	return p, args
}

func socketsOf(grants []permission.Permission) (names []string) {
	for _, g := range grants {
		if g.Kind == permission.Socket {
			names = append(names, g.Name)
		}
	}
	return names
}

// runFilter starts the filter in a sandbox of its own, which shows it the bus and nothing else, and waits until it listens.
func runFilter(ctx context.Context, launcher, socket, busSocket string, info []byte, args []string, logFile string) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	defer listener.Close()
	listening, err := listener.File()
	if err != nil {
		return nil, err
	}
	defer listening.Close()
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()
	defer readyEnd.Close()
	aliveEnd, alive, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer aliveEnd.Close()
	defer func() {
		if err != nil {
			alive.Close()
		}
	}()
	if err := os.MkdirAll(filepath.Dir(logFile), 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	spec := &sandbox.Spec{
		Mounts: []sandbox.Mount{
			{Kind: sandbox.File, Target: "/.flatpak-info", Content: info},
			{Kind: sandbox.RO, Source: self, Target: "/nuka"},
		},
		Argv:    append([]string{"/nuka", filterCommand, "--socket", "3", "--ready", "4", "--alive", "5"}, args...),
		Session: sandbox.SessionNew,
	}
	if strings.HasPrefix(busSocket, "@") {
		spec.Net = sandbox.NetHost // an abstract socket belongs to the network
	} else {
		if busSocket, err = filepath.EvalSymlinks(busSocket); err != nil {
			return nil, err
		}
		spec.Mounts = append(spec.Mounts, sandbox.Mount{Kind: sandbox.RW, Source: busSocket, Target: busSocket})
	}
	p, err := sandbox.Start(ctx, launcher, spec, &sandbox.Options{Stderr: log, Extra: []*os.File{listening, readyEnd, aliveEnd}})
	if err != nil {
		return nil, sandboxError(err)
	}
	stop = func() {
		alive.Close()
		_ = p.Kill() // a filter without its program has nothing to finish
		_, _ = p.Wait()
	}
	readyEnd.Close()
	if err := ready.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		stop()
		return nil, err
	}
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		stop()
		return nil, protocol.Errorf(protocol.Failed, "the filter of the session bus did not start").WithHint("its log: %s", logFile)
	}
	return stop, nil
}
